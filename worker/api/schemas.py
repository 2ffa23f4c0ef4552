"""The schemas of requests and answers (JSON Schema 2020-12)."""

from typing import Any

from worker.basics.masking import MASK
from worker.domain.names import KNOWN, SYNONYMS
from worker.webhooks.fields import MOST_EVENTS
from worker.webhooks.store import LONGEST_ID, LONGEST_INSTANCE

Json = dict[str, Any]


def _object(properties: Json, *required: str, **more: Any) -> Json:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {}), **more}


def _nullable(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


_FLAG: Json = {"type": "boolean"}
_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}
_INSTANCE: Json = {**_TEXT, "minLength": 1, "maxLength": LONGEST_INSTANCE, "description": "the instance's name"}
_ID: Json = {
    **_TEXT,
    "pattern": r"^[A-Za-z0-9._-]+$",
    "maxLength": LONGEST_ID,
    "not": {"const": "global"},
    "description": "which of the instance's webhooks; `default` if left out",
}
_SECRET: Json = {**_TEXT, "pattern": "^(generate|whsec_[A-Za-z0-9+/]+=*)$"}
_RATE: Json = _object(
    {
        "per_second": {"type": "number", "exclusiveMinimum": 0, "maximum": 10_000},
        "burst": {"type": "integer", "minimum": 1, "maximum": 100_000, "default": 1},
    },
    "per_second",
    additionalProperties=False,
    description="attempts a second for the whole deployment",
)
_EVENTS: Json = {
    "type": "array",
    "items": {"enum": sorted({*KNOWN, *SYNONYMS})},
    "maxItems": MOST_EVENTS,
    "description": "the events wanted; empty or left out: all",
}
_COMMON: Json = {
    "enabled": {**_FLAG, "default": True},
    "url": {
        **_TEXT,
        "maxLength": 8192,
        "description": "http:// or https:// with a host; with `enabled` false it may be left out, and stays",
        "examples": ["https://hooks.example/evolution"],
    },
    "events": _nullable(_EVENTS),
    "headers": _nullable(
        {"type": "object", "additionalProperties": _TEXT, "maxProperties": 64, "description": "the webhook's own"}
    ),
    "secret": _nullable(
        {
            "anyOf": [_SECRET, {"type": "array", "items": _SECRET, "maxItems": 2}],
            "description": "Standard Webhooks secret, write only; two, newest first, sign side by side; `generate` "
            "makes one, which the answer shows this once",
        }
    ),
    "timeout_ms": _nullable({"type": "integer", "minimum": 1, "maximum": 300_000, "description": "of an attempt"}),
    "concurrency": _nullable({"type": "integer", "minimum": 1, "maximum": 1000, "description": "attempts at once"}),
    "rate_limit": _nullable(_RATE),
}
_NAMES: Json = {"instance": _INSTANCE, "instanceName": _INSTANCE, "id": _ID}
_V1: Json = {"webhook_by_events": {**_FLAG, "description": "one URL an event"}, "webhook_base64": _FLAG}
_V20: Json = {"webhookByEvents": _FLAG, "webhookBase64": _FLAG}
_V21: Json = {"byEvents": _FLAG, "base64": _FLAG}


def _flat(title: str, flags: Json, *required: str) -> Json:
    return _object({**_COMMON, **flags, **_NAMES}, *required, title=title)


def _nested(*required: str) -> Json:
    inner = _object({**_COMMON, **_V21, "id": _ID}, *required)
    return _object({"webhook": inner, **_NAMES}, "webhook", title="2.1 and later: nested")


def _requests(*required: str) -> list[Json]:
    flats = [_flat("1.x: flat", _V1, *required), _flat("2.0: flat, camelCase", _V20, *required)]
    return [*flats, _nested(*required)]


def _naming_instance() -> Json:
    named = {"anyOf": [{"required": ["instance"]}, {"required": ["instanceName"]}]}
    return {"allOf": [{"anyOf": _requests("url", "enabled")}, named]}


_V2_PROPERTIES: Json = {
    "id": _TEXT,
    "url": _TEXT,
    "headers": {"type": "object", "additionalProperties": {"const": MASK}},
    "enabled": _FLAG,
    "events": _TEXTS,
    "webhookByEvents": _FLAG,
    "webhookBase64": _FLAG,
    "createdAt": _nullable(_TEXT),
    "updatedAt": _nullable(_TEXT),
    "instanceId": {**_TEXT, "description": "the instance's name, too"},
    "instance": _TEXT,
    "secrets": {"type": "integer", "description": "how many signing secrets are valid"},
    "timeout_ms": _nullable({"type": "integer"}),
    "concurrency": _nullable({"type": "integer"}),
    "rate_limit": _nullable({"type": "object"}),
    "disabled_reason": _nullable(_TEXT),
}
_NOTES: Json = {
    "warnings": {**_TEXTS, "description": "accepted, but without the effect that may be expected"},
    "secret": {**_TEXT, "description": "the signing secret that was generated now, shown only this once"},
}
_V1_WEBHOOK: Json = _object(
    {"enabled": _FLAG, "url": _TEXT, "webhook_by_events": _FLAG, "events": _TEXTS},
    *("enabled", "url", "webhook_by_events", "events"),
)
_V1_ANSWER: Json = _object(
    {"webhook": _object({"instanceName": _TEXT, "webhook": _V1_WEBHOOK}, "instanceName", "webhook"), **_NOTES},
    "webhook",
    title="1.x",
)
_MESSAGE: Json = {"anyOf": [_TEXT, _TEXTS, {"type": "array", "items": _TEXTS}]}

SCHEMAS: Json = {
    "Id": _ID,
    "Set": {"anyOf": _requests("url")},
    "SetNamingInstance": _naming_instance(),
    "SetAnswer": {"anyOf": [_V1_ANSWER, _object({**_V2_PROPERTIES, **_NOTES}, *_V2_PROPERTIES, title="2.x")]},
    "Found": _object({**_V2_PROPERTIES, **_V1}, *_V2_PROPERTIES, *_V1),
    "Page": _object(
        {"webhooks": {"type": "array", "items": {"$ref": "#/components/schemas/Found"}}, "after": _nullable(_TEXT)},
        *("webhooks", "after"),
    ),
    "Deleted": _object({"deleted": {"type": "integer"}, "remaining": _TEXTS}, "deleted", "remaining"),
    "TestRequest": _object({"id": _ID, "event": {"enum": sorted(KNOWN)}}),
    "Trial": _object(
        {
            "instance": _TEXT,
            "id": _TEXT,
            "url": _TEXT,
            "event": _TEXT,
            "signed": _FLAG,
            "ok": _FLAG,
            "status": _nullable({"type": "integer"}),
            "milliseconds": {"type": "number"},
            "body": {**_TEXT, "description": "the first bytes of the answer"},
            "error": _nullable(_TEXT),
        },
        *("instance", "id", "url", "event", "signed", "ok", "status", "milliseconds", "body", "error"),
    ),
    "Error": _object(
        {
            "status": {"type": "integer"},
            "error": _TEXT,
            "response": _object({"message": _MESSAGE}, "message"),
        },
        *("status", "error", "response"),
    ),
}
"""By name, as the document's components."""

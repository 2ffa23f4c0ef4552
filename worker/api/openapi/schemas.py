"""The schemas of requests and answers (JSON Schema 2020-12)."""

from typing import Any

from worker.api.answers import EVOLUTIONS, OURS
from worker.domain.names import COUNTED
from worker.history.asked import OUTCOMES
from worker.history.shown import FIELDS
from worker.replay.asking import FASTEST, SLOWEST
from worker.replay.asking import MOST_EVENTS as MOST_REPLAYED_EVENTS
from worker.replay.jobs import Kind, State
from worker.webhooks.declaration import ADDRESS, BY_NAME, CONTENT, RESPELLED, Field, Kept

Json = dict[str, Any]


def _object(properties: Json, *required: str, **more: Any) -> Json:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {}), **more}


def _nullable(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


_FLAG: Json = {"type": "boolean"}
_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}


def _asked(field: Field) -> Json:
    """What a request may say of a field."""
    schema = {**field.kind.schema(), "description": field.about or field.help}
    if field.nullable:
        return _nullable(schema)
    default = {} if field.required or field.kept is Kept.NESTED else {"default": field.default}
    return {**schema, **default, **({"examples": [field.example]} if field.example else {})}


def _spelled(shape: str) -> Json:
    """The fields of one of Evolution's request shapes, in its spelling."""
    return {getattr(field.evolution, shape) if field.evolution else field.requested: _asked(field) for field in CONTENT}


_ID: Json = _asked(BY_NAME["id"])
_NAMES: Json = {name: _asked(BY_NAME[field]) for field in ADDRESS for name in BY_NAME[field].spellings}


def _flat(title: str, shape: str, *required: str) -> Json:
    return _object({**_spelled(shape), **_NAMES}, *required, title=title)


def _nested(*required: str) -> Json:
    inner = _object({**_spelled("v21"), "id": _ID}, *required)
    return _object({"webhook": inner, **_NAMES}, "webhook", title="2.1 and later: nested")


def _requests(*required: str) -> list[Json]:
    flats = [_flat("1.x: flat", "v1", *required), _flat("2.0: flat, camelCase", "v20", *required)]
    return [*flats, _nested(*required)]


def _naming_instance() -> Json:
    named = {"anyOf": [{"required": ["instance"]}, {"required": ["instanceName"]}]}
    return {"allOf": [{"anyOf": _requests("url", "enabled")}, named]}


def _shown(field: Field) -> Json:
    """What an answer says of a field."""
    schema = field.kind.shown_schema()
    return _nullable(schema) if field.default is None else schema


_V2_PROPERTIES: Json = {
    **{answered: _shown(BY_NAME[name]) for name, answered in EVOLUTIONS.items()},
    "createdAt": _nullable(_TEXT),
    "updatedAt": _nullable(_TEXT),
    "instanceId": {**_TEXT, "description": "the instance's name, too"},
    **{name: _shown(BY_NAME[name]) for name in OURS},
    "disabled_reason": _nullable(_TEXT),
    "disabled_at": _nullable(_TEXT),
    "paused_at": _nullable(_TEXT),
    "order_next": {**_nullable(_TEXT), "description": "its `order` is being switched to this"},
    "order_switch_at": _nullable(_TEXT),
}
_V1: Json = {spelling.v1: _shown(BY_NAME[name]) for name, spelling in RESPELLED.items()}
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

_EXPLAINED: Json = _object(
    {
        "instance": _TEXT,
        "id": _TEXT,
        "url": _TEXT,
        "would": {"enum": ["send", "skip", "dead_letter"]},
        "reason": _nullable(_TEXT),
        "why": _nullable(_TEXT),
        "body_bytes": _nullable({"type": "integer"}),
        "unless": _TEXTS,
        "notes": _TEXTS,
    },
    *("instance", "id", "url", "would", "reason", "why", "body_bytes", "unless", "notes"),
)

_NUMBER: Json = {"type": "integer"}
_ROW: Json = _object(
    {
        "at": {**_TEXT, "description": "when it ended, RFC 3339 in UTC"},
        "id": {**_TEXT, "description": "the `webhook-id`; `evt_...` of an event that never became a delivery"},
        "event_id": _TEXT,
        **dict.fromkeys(("instance", "webhook", "event", "chat"), _nullable(_TEXT)),
        "outcome": {"enum": list(OUTCOMES)},
        "reason": _TEXT,
        "attempt": {**_NUMBER, "description": "its number; 0: none was made yet"},
        "status": _nullable(_NUMBER),
        "ms": {**_nullable(_NUMBER), "description": "how long the attempt took; null: none was made this time"},
        "error": _nullable(_TEXT),
        "answer": {**_nullable(_TEXT), "description": "of a failed attempt: how the answer's body begins"},
        "size": {**_NUMBER, "description": "bytes sent, or of the event"},
        "host": _nullable(_TEXT),
        "replica": _TEXT,
    },
    *FIELDS,
)
_SPAN: Json = _object({"attempts": _NUMBER, "success": _nullable({"type": "number"})}, "attempts", "success")
_HEALTH: Json = {
    **_nullable(
        _object(
            {"hour": _SPAN, "day": _SPAN, "last_success": _nullable(_TEXT), "last_failure": _nullable(_TEXT)},
            *("hour", "day", "last_success", "last_failure"),
        )
    ),
    "description": "attempts and share of successes of the last hour and day; null: history is off, or away",
}

_REPLAY: Json = _object(
    {
        "id": _TEXT,
        "state": {"enum": [state.value for state in State]},
        "kind": {"enum": [kind.value for kind in Kind]},
        "instance": _TEXT,
        "webhook": _TEXT,
        "events": _TEXTS,
        "chat": _nullable(_TEXT),
        "since": _TEXT,
        "until": _TEXT,
        "all": _FLAG,
        "rate": _nullable({"type": "number"}),
        "dry_run": _FLAG,
        **{name: _nullable(_NUMBER) for name in ("found", "delivered", "on_their_way", "to_send")},
        "sent": _NUMBER,
        "gone": {**_nullable(_TEXT), "description": "what the archive has not of that time"},
        "error": {**_nullable(_TEXT), "description": "why it failed, or what it waits for"},
        "created_at": _TEXT,
        "ended_at": _nullable(_TEXT),
    },
    *("id", "state", "kind", "instance", "webhook", "events", "chat", "since", "until", "all", "rate", "dry_run"),
    *("found", "delivered", "on_their_way", "to_send", "sent", "gone", "error", "created_at", "ended_at"),
)

_REPLAY_REQUEST: Json = _object(
    {
        "instance": {**_TEXT, "minLength": 1},
        "webhook": _ID,
        "events": {**_TEXTS, "maxItems": MOST_REPLAYED_EVENTS},
        "chat": {**_TEXT, "description": "its address, or a phone number in digits"},
        "since": {**_TEXT, "description": "RFC 3339, or an age as 90s, 30m, 2h, 3d"},
        "until": {**_TEXT, "description": "before that, written likewise; now if left out"},
        "all": {**_FLAG, "description": "also what was delivered"},
        "rate": {"type": "number", "minimum": SLOWEST, "maximum": FASTEST, "description": "events a second"},
        "accept_gap": {**_FLAG, "description": "go on although the archive has lost a part meanwhile"},
        "dry_run": {**_FLAG, "description": "only count"},
    },
    "since",
)

SCHEMAS: Json = {
    "Id": _ID,
    "Set": {"anyOf": _requests("url")},
    "SetNamingInstance": _naming_instance(),
    "SetAnswer": {"anyOf": [_V1_ANSWER, _object({**_V2_PROPERTIES, **_NOTES}, *_V2_PROPERTIES, title="2.x")]},
    "Found": _object({**_V2_PROPERTIES, **_V1}, *_V2_PROPERTIES, *_V1),
    "FoundWithHealth": _object({**_V2_PROPERTIES, **_V1, "health": _HEALTH}, *_V2_PROPERTIES, *_V1, "health"),
    "HistoryPage": _object({"items": {"type": "array", "items": _ROW}, "next": _nullable(_TEXT)}, "items", "next"),
    "Resent": _object(
        {
            "id": _TEXT,
            "ok": _FLAG,
            "status": _nullable(_NUMBER),
            "ms": _NUMBER,
            "error": _nullable(_TEXT),
            "answer": _nullable(_TEXT),
        },
        *("id", "ok", "status", "ms", "error", "answer"),
    ),
    "Timeline": _object({"id": _TEXT, "items": {"type": "array", "items": _ROW, "minItems": 1}}, "id", "items"),
    "Page": _object(
        {"webhooks": {"type": "array", "items": {"$ref": "#/components/schemas/Found"}}, "after": _nullable(_TEXT)},
        *("webhooks", "after"),
    ),
    "Deleted": _object({"deleted": {"type": "integer"}, "remaining": _TEXTS}, "deleted", "remaining"),
    "TestRequest": _object({"id": _ID, "event": {"enum": sorted(COUNTED)}}),
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
    "Body": _object({"id": _TEXT, "body": {}}, "id", "body"),
    "Replay": _REPLAY,
    "ReplayRequest": _REPLAY_REQUEST,
    "Replays": _object({"items": {"type": "array", "items": _REPLAY}}, "items"),
    "Stopping": _object({"id": _TEXT, "stopping": _FLAG}, "id", "stopping"),
    "Paused": _object({"instance": _TEXT, "id": _TEXT, "paused_at": _TEXT}, "instance", "id", "paused_at"),
    "Resumed": _object(
        {
            "instance": _TEXT,
            "id": _TEXT,
            "paused_at": {"type": "null"},
            "replay": _nullable(_REPLAY),
            "lost": {
                "type": ["string", "null"],
                "description": "Why nothing of that time can be sent",
            },
        },
        *("instance", "id", "paused_at", "replay", "lost"),
    ),
    "Event": _object({"event": {**_TEXT, "minLength": 1}, "instance": {**_TEXT, "minLength": 1}}, "event", "instance"),
    "Explanation": _object({"webhooks": {"type": "array", "items": _EXPLAINED}}, "webhooks"),
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

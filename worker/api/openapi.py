"""The OpenAPI 3.1 document of the API, built from the code's own tables."""

from typing import Any

from worker import __version__
from worker.api.dialects import FIELDS
from worker.api.schemas import SCHEMAS
from worker.history.asked import OUTCOMES, REASON_NAMES
from worker.history.asked import PAGE as HISTORY_PAGE
from worker.history.filters import FILTERS
from worker.history.store import LARGEST_PAGE
from worker.webhooks.declaration import CONTENT, ID, Kept
from worker.webhooks.store import LONGEST_ID

Json = dict[str, Any]

_KEPT = [f"`{field.requested}`" for field in CONTENT if field.kept is Kept.ALWAYS]

_SET = f"""Creates or replaces one webhook of the instance; the answer has the shape of the request.

Left out: `events` means all events; `webhook_by_events` and `webhook_base64` are false (in the nested form they stay
as they are); {", ".join(_KEPT)} stay as they are, `null` resets them. A header value
or URL credentials that an answer shows as `***` can be sent back so, and stay what they are."""

_TITLE = "Evolution API's webhook calls, answered by the webhook worker"

_ABOUT = """Every call but `/docs` and `/openapi.json` needs the header `apikey`: AUTHENTICATION_API_KEY, or, where
the worker reads Evolution's database, an instance's own token, which reaches that instance only. Instance names may
hold any character; in a path they are percent-encoded. Each instance can have several webhooks: `id` says which,
`default` if it is left out. Header values, signing secrets and credentials in URLs are shown as `***`."""


def document() -> Json:
    """A new copy each time."""
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": __version__, "description": _ABOUT},
        "security": [{"apikey": []}],
        "paths": {
            "/webhook/instance": {"post": _set("Set, instance in the body", "SetNamingInstance", [_ID])},
            "/webhook/set/{instance}": {"post": _set("Set a webhook", "Set", [_INSTANCE, _ID])},
            "/webhook/find/{instance}": {"get": _find()},
            "/webhook": {"get": _list()},
            "/webhook/{instance}": {"delete": _delete()},
            "/webhook/test/{instance}": {"post": _test()},
            "/webhook/explain/{instance}": {"post": _explain()},
            "/history": {"get": _history()},
            "/history/{id}": {"get": _timeline()},
            "/history/{id}/body": {"get": _body()},
            "/history/{id}/resend": {"post": _resend()},
            "/replay": {"post": _replay(), "get": _replays()},
            "/replay/{job}": {"get": _replay_shown(), "delete": _replay_stopped()},
            "/webhook/pause/{instance}": {"post": _pause()},
            "/webhook/resume/{instance}": {"post": _resume()},
            "/openapi.json": {"get": _open("This document", "application/json")},
            "/docs": {"get": _open("This page", "text/html")},
        },
        "components": {
            "securitySchemes": {"apikey": {"type": "apiKey", "in": "header", "name": "apikey"}},
            "schemas": SCHEMAS,
            "responses": {name: _refusal(text) for name, text in _REFUSALS.items()},
        },
    }


_REFUSALS = {
    "400": "What is wrong: one line a problem, with field, value and what is allowed",
    "401": "The header apikey is missing or wrong, or a token of another instance",
    "404": "No such webhook, delivery or path",
    "405": "No such method; the header Allow names those that exist",
    "408": "The body did not arrive in time",
    "409": "It cannot be done as things are (webhooks are changed elsewhere, say); the message says why",
    "413": "The body has more than 1 MiB",
    "415": "The body is not application/json",
    "500": "A stored webhook is damaged; the message says which, setting it again is the remedy",
    "503": "The webhook store cannot answer; the header Retry-After says when to try again",
}


def _refusal(description: str) -> Json:
    return {"description": description, "content": _json("Error")}


def _json(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _operation(summary: str, good: Json, refusals: str, **more: Any) -> Json:
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in refusals.split()}
    return {"summary": summary, **more, "responses": {**good, **refused}}


def _good(status: str, description: str, schema: str) -> Json:
    return {status: {"description": description, "content": _json(schema)}}


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_NAME = {"type": "string", "minLength": 1}
_INSTANCE = {"name": "instance", "in": "path", "required": True, "description": "The instance's name", "schema": _NAME}
_ID = _query("id", "Which of the instance's webhooks; `default` if left out", {"$ref": "#/components/schemas/Id"})
_WITH_BODY = "400 401 408 409 413 415 500 503"


def _set(summary: str, body: str, parameters: list[Json]) -> Json:
    return _operation(
        summary,
        _good("201", "Stored, and told to every replica", "SetAnswer"),
        _WITH_BODY,
        description=_SET + " " + _spellings(),
        parameters=parameters,
        requestBody={"required": True, "content": _json(body)},
    )


def _spellings() -> str:
    several = [" = ".join(f"`{name}`" for name in spellings) for spellings in FIELDS.values() if len(spellings) > 1]
    return f"Each spelling is taken in each form: {'; '.join(several)}."


def _find() -> Json:
    return _operation(
        "Find a webhook",
        _good(
            "200",
            "The webhook, readable by clients of 1.x and 2.x; nothing set: `enabled` false, `url` empty",
            "FoundWithHealth",
        ),
        "400 401 404 500 503",
        description="With an `id` that the instance does not have: 404.",
        parameters=[_INSTANCE, _ID],
    )


def _list() -> Json:
    limit = {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}
    return _operation(
        "List webhooks",
        _good("200", "In order of instance and id; `after` asks for the next page, null: the last", "Page"),
        "400 401 500 503",
        parameters=[
            _query("limit", "At most so many", limit),
            _query("after", "The `after` of the page before", {"type": "string"}),
            _query("instance", "Only this instance's, all of them", {"type": "string"}),
        ],
    )


def _delete() -> Json:
    one = ID.pattern.removesuffix("+")
    which = {"type": "string", "pattern": rf"^({one}{{1,{LONGEST_ID}}}|\*)$"}
    return _operation(
        "Delete a webhook",
        _good("200", "How many went, and the ids of those that remain", "Deleted"),
        "400 401 404 409 500 503",
        parameters=[_INSTANCE, _query("id", "Which; `default` if left out, `*` for all of the instance", which)],
    )


def _test() -> Json:
    return _operation(
        "Send a test event",
        _good("200", "What the receiver answered, or why it did not", "Trial"),
        "400 401 404 408 413 415 500 503",
        description="One POST, built and signed like any delivery, also when the webhook is disabled. `data` is "
        '`{"test": true}`. The body may name another `event` than APPLICATION_STARTUP, and may be left out.',
        parameters=[_INSTANCE, _ID],
        requestBody={"required": False, "content": _json("TestRequest")},
    )


def _explain() -> Json:
    return _operation(
        "Explain what would become of an event",
        _good("200", "For each webhook of the instance; nothing is sent", "Explanation"),
        "400 401 408 413 415 500 503",
        description="The body is the event as Evolution publishes it. `why` names the clause that decided, `notes` say "
        "what else matters. The operator's global webhook is there for AUTHENTICATION_API_KEY alone.",
        parameters=[_INSTANCE],
        requestBody={"required": True, "content": _json("Event")},
    )


_FILTERED: dict[str, Json] = {
    "outcome": {"enum": list(OUTCOMES)},
    "reason": {"enum": list(REASON_NAMES)},
    "status": {"type": "integer", "minimum": 100, "maximum": 999},
}
"""Filters that take less than any text."""


def _history() -> Json:
    page = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": HISTORY_PAGE}
    return _operation(
        "Look up what became of deliveries",
        _good("200", "Rows, newest first", "HistoryPage"),
        "400 401 404 503",
        description="All filters that are given must hold. An instance's own token sees the rows of its instance, "
        "whatever it asks for. 404: HISTORY is off.",
        parameters=[
            *(_query(name, f"Rows {text}", _FILTERED.get(name, _NAME)) for name, (_, text) in FILTERS.items()),
            _query("after", "The `next` of the page before", {"type": "string"}),
            _query("limit", "At most so many rows", page),
        ],
    )


_DELIVERY = {"name": "id", "in": "path", "required": True, "description": "Its `webhook-id`", "schema": _NAME}


def _body() -> Json:
    return _operation(
        "Look at the event of a delivery",
        _good("200", "As Evolution published it, credentials masked", "Body"),
        "400 401 404 503",
        description="From the dead letters or the archive. 404: it is gone, or was never kept; the message says which.",
        parameters=[_DELIVERY],
    )


_JOB = {"name": "job", "in": "path", "required": True, "description": "The replay's id", "schema": _NAME}


def _replay() -> Json:
    return _operation(
        "Send a webhook again what it missed",
        _good("202", "The replay, which a worker carries out", "Replay"),
        _WITH_BODY,
        description="What the archive has of the time, and the history does not show as delivered or on its way; with "
        "`all` everything. Ids stay, POSTs have the header `webhook-replay: true`. An instance's own token need not "
        "name the instance. 409: nothing can be replayed as things are; the message says why.",
        requestBody={"required": True, "content": _json("ReplayRequest")},
    )


def _replays() -> Json:
    limit = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": HISTORY_PAGE}
    found = _good("200", "Newest first", "Replays")
    return _operation("List replays", found, "400 401 409 503", parameters=[_query("limit", "At most so many", limit)])


def _replay_shown() -> Json:
    return _operation(
        "Look at a replay", _good("200", "How far it is", "Replay"), "400 401 404 409 503", parameters=[_JOB]
    )


def _replay_stopped() -> Json:
    return _operation(
        "Stop a replay",
        _good("202", "Its worker stops within seconds; what was sent stays sent", "Stopping"),
        "400 401 404 409 503",
        parameters=[_JOB],
    )


def _pause() -> Json:
    return _operation(
        "Pause a webhook",
        _good("200", "It gets nothing until it is resumed", "Paused"),
        "400 401 404 409 500 503",
        description="409: there is no archive to resume from, or it is paused already.",
        parameters=[_INSTANCE, _ID],
    )


def _resume() -> Json:
    return _operation(
        "Resume a paused webhook",
        _good("202", "It gets what comes from now on, and by a replay what came meanwhile", "Resumed"),
        "400 401 404 409 500 503",
        description="409: it is not paused, or the archive has lost a part of the time: `accept_gap=true` goes on.",
        parameters=[_INSTANCE, _ID, _query("accept_gap", "Although something is gone", {"type": "boolean"})],
    )


def _resend() -> Json:
    return _operation(
        "Send a delivery once more",
        _good("200", "What came of the attempt", "Resent"),
        "400 401 404 409 500 503",
        description="One POST with the same `webhook-id` and the header `webhook-replay: true`, to the webhook as it "
        "is now. It does not count against the webhook. The event comes from the dead letters, out of which a 2xx "
        "takes it, or from the archive. 404: neither has it; 409: it cannot be sent as things are.",
        parameters=[_DELIVERY],
    )


def _timeline() -> Json:
    return _operation(
        "Look up one delivery",
        _good("200", "Its rows, oldest first", "Timeline"),
        "400 401 404 503",
        parameters=[_DELIVERY],
    )


def _open(summary: str, content_type: str) -> Json:
    good = {"200": {"description": summary, "content": {content_type: {}}}}
    return _operation(summary, good, "405", security=[])

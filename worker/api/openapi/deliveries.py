"""The calls that look up deliveries, make one again, and replay many."""

from worker.api.openapi.parts import NAME, WITH_BODY, Json, content, good, operation, query
from worker.history.asked import OUTCOMES, REASON_NAMES
from worker.history.asked import PAGE as HISTORY_PAGE
from worker.history.filters import FILTERS
from worker.history.store import LARGEST_PAGE

_FILTERED: dict[str, Json] = {
    "outcome": {"enum": list(OUTCOMES)},
    "reason": {"enum": list(REASON_NAMES)},
    "status": {"type": "integer", "minimum": 100, "maximum": 999},
}
"""Filters that take less than any text."""

_DELIVERY = {"name": "id", "in": "path", "required": True, "description": "Its `webhook-id`", "schema": NAME}
_JOB = {"name": "job", "in": "path", "required": True, "description": "The replay's id", "schema": NAME}


def history() -> Json:
    page = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": HISTORY_PAGE}
    return operation(
        "Look up what became of deliveries",
        good("200", "Rows, newest first", "HistoryPage"),
        "400 401 404 503",
        description="All filters that are given must hold. An instance's own token sees the rows of its instance, "
        "whatever it asks for. 404: HISTORY is off.",
        parameters=[
            *(query(name, f"Rows {text}", _FILTERED.get(name, NAME)) for name, (_, text) in FILTERS.items()),
            query("after", "The `next` of the page before", {"type": "string"}),
            query("limit", "At most so many rows", page),
        ],
    )


def timeline() -> Json:
    return operation(
        "Look up one delivery",
        good("200", "Its rows, oldest first", "Timeline"),
        "400 401 404 503",
        parameters=[_DELIVERY],
    )


def body() -> Json:
    return operation(
        "Look at the event of a delivery",
        good("200", "As Evolution published it, credentials masked", "Body"),
        "400 401 404 503",
        description="From the dead letters or the archive. 404: it is gone, or was never kept; the message says which.",
        parameters=[_DELIVERY],
    )


def resend() -> Json:
    return operation(
        "Send a delivery once more",
        good("200", "What came of the attempt", "Resent"),
        "400 401 404 409 500 503",
        description="One POST with the same `webhook-id` and the header `webhook-replay: true`, to the webhook as it "
        "is now. It does not count against the webhook. The event comes from the dead letters, out of which a 2xx "
        "takes it, or from the archive. 404: neither has it; 409: it cannot be sent as things are.",
        parameters=[_DELIVERY],
    )


def replay() -> Json:
    return operation(
        "Send a webhook again what it missed",
        good("202", "The replay, which a worker carries out", "Replay"),
        WITH_BODY,
        description="What the archive has of the time, and the history does not show as delivered or on its way; with "
        "`all` everything. Ids stay, POSTs have the header `webhook-replay: true`. An instance's own token need not "
        "name the instance. 409: nothing can be replayed as things are; the message says why.",
        requestBody={"required": True, "content": content("ReplayRequest")},
    )


def replays() -> Json:
    limit = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": HISTORY_PAGE}
    found = good("200", "Newest first", "Replays")
    return operation("List replays", found, "400 401 409 503", parameters=[query("limit", "At most so many", limit)])


def replay_shown() -> Json:
    return operation(
        "Look at a replay", good("200", "How far it is", "Replay"), "400 401 404 409 503", parameters=[_JOB]
    )


def replay_stopped() -> Json:
    return operation(
        "Stop a replay",
        good("202", "Its worker stops within seconds; what was sent stays sent", "Stopping"),
        "400 401 404 409 503",
        parameters=[_JOB],
    )

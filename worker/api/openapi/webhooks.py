"""The calls that set, show, try, pause and resume webhooks."""

from worker.api.dialects import FIELDS
from worker.api.openapi.parts import INSTANCE, WEBHOOK, WITH_BODY, Json, content, good, operation, query
from worker.webhooks.declaration import CONTENT, ID, Kept
from worker.webhooks.store import LONGEST_ID

_KEPT = [f"`{field.requested}`" for field in CONTENT if field.kept is Kept.ALWAYS]

_SET = f"""Creates or replaces one webhook of the instance; the answer has the shape of the request.

Left out: `events` means all events; `webhook_by_events` and `webhook_base64` are false (in the nested form they stay
as they are); {", ".join(_KEPT)} stay as they are, `null` resets them. A header value
or URL credentials that an answer shows as `***` can be sent back so, and stay what they are."""


def setting(summary: str, body: str, parameters: list[Json]) -> Json:
    return operation(
        summary,
        good("201", "Stored, and told to every replica", "SetAnswer"),
        WITH_BODY,
        description=_SET + " " + _spellings(),
        parameters=parameters,
        requestBody={"required": True, "content": content(body)},
    )


def _spellings() -> str:
    several = [" = ".join(f"`{name}`" for name in spellings) for spellings in FIELDS.values() if len(spellings) > 1]
    return f"Each spelling is taken in each form: {'; '.join(several)}."


def find() -> Json:
    return operation(
        "Find a webhook",
        good(
            "200",
            "The webhook, readable by clients of 1.x and 2.x; nothing set: `enabled` false, `url` empty",
            "FoundWithHealth",
        ),
        "400 401 404 500 503",
        description="With an `id` that the instance does not have: 404.",
        parameters=[INSTANCE, WEBHOOK],
    )


def listing() -> Json:
    limit = {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}
    return operation(
        "List webhooks",
        good("200", "In order of instance and id; `after` asks for the next page, null: the last", "Page"),
        "400 401 500 503",
        parameters=[
            query("limit", "At most so many", limit),
            query("after", "The `after` of the page before", {"type": "string"}),
            query("instance", "Only this instance's, all of them", {"type": "string"}),
        ],
    )


def delete() -> Json:
    one = ID.pattern.removesuffix("+")
    which = {"type": "string", "pattern": rf"^({one}{{1,{LONGEST_ID}}}|\*)$"}
    return operation(
        "Delete a webhook",
        good("200", "How many went, and the ids of those that remain", "Deleted"),
        "400 401 404 409 500 503",
        parameters=[INSTANCE, query("id", "Which; `default` if left out, `*` for all of the instance", which)],
    )


def test() -> Json:
    return operation(
        "Send a test event",
        good("200", "What the receiver answered, or why it did not", "Trial"),
        "400 401 404 408 413 415 500 503",
        description="One POST, built and signed like any delivery, also when the webhook is disabled. `data` is "
        '`{"test": true}`. The body may name another `event` than APPLICATION_STARTUP, and may be left out.',
        parameters=[INSTANCE, WEBHOOK],
        requestBody={"required": False, "content": content("TestRequest")},
    )


def explain() -> Json:
    return operation(
        "Explain what would become of an event",
        good("200", "For each webhook of the instance; nothing is sent", "Explanation"),
        "400 401 408 413 415 500 503",
        description="The body is the event as Evolution publishes it. `why` names the clause that decided, `notes` say "
        "what else matters. The operator's global webhook is there for AUTHENTICATION_API_KEY alone.",
        parameters=[INSTANCE],
        requestBody={"required": True, "content": content("Event")},
    )


def pause() -> Json:
    return operation(
        "Pause a webhook",
        good("200", "It gets nothing until it is resumed", "Paused"),
        "400 401 404 409 500 503",
        description="409: there is no archive to resume from, or it is paused already.",
        parameters=[INSTANCE, WEBHOOK],
    )


def resume() -> Json:
    return operation(
        "Resume a paused webhook",
        good("202", "It gets what comes from now on, and by a replay what came meanwhile", "Resumed"),
        "400 401 404 409 500 503",
        description="409: not paused, or the archive has lost a part or keeps nothing: `accept_gap=true` goes on. "
        "One with an `order` has kept what came meanwhile: `replay` is null.",
        parameters=[INSTANCE, WEBHOOK, query("accept_gap", "Although something is gone", {"type": "boolean"})],
    )

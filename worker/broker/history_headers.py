"""A delivery's history as AMQP headers: how a message carries it through the broker from one taking to the next."""

from collections.abc import Mapping

from worker.domain.event import InvalidEvent
from worker.domain.history import History

PREFIX = "x-delivery-"

TRACE_HEADERS = ("traceparent", "tracestate")
"""Headers beside ours that stay with a message from one taking to the next (W3C Trace Context)."""

_INT_END = 2**53
"""Beyond, a float loses digits; none of ours comes near, and one more than AMQP's 64 bits could not be sent on."""

Headers = dict[str, str | int | list[str]]


def headers_of(history: History) -> Headers:
    """The history as AMQP headers. Values hold no payload and no secret."""
    found: Headers = {
        PREFIX + "event-id": history.event_id,
        PREFIX + "first-seen": round(history.first_seen * 1000),
        PREFIX + "exchange": history.exchange,
        PREFIX + "routing-key": history.routing_key,
        PREFIX + "attempts": history.attempts,
        PREFIX + "parkings": history.parkings,
    }
    if history.webhook_id is not None:
        found[PREFIX + "webhook"] = history.webhook_id
    if history.last_status is not None:
        found[PREFIX + "last-status"] = history.last_status
    if history.last_error is not None:
        found[PREFIX + "last-error"] = history.last_error
    if history.log:
        found[PREFIX + "log"] = list(history.log)
    return found


def history_in(headers: Mapping[str, object]) -> History | None:
    """The history in a message's headers; None for an event that comes from Evolution itself.

    Raises InvalidEvent when the headers are not ours: somebody else published to our queue.
    """
    if headers.get(PREFIX + "event-id") is None:
        return None
    return _read({key.removeprefix(PREFIX): value for key, value in headers.items() if key.startswith(PREFIX)})


def _read(found: dict[str, object]) -> History:
    return History(
        event_id=_text(found, "event-id"),
        first_seen=_whole(found, "first-seen") / 1000,
        exchange=_text(found, "exchange"),
        routing_key=_text(found, "routing-key"),
        webhook_id=_text(found, "webhook") if "webhook" in found else None,
        attempts=_whole(found, "attempts"),
        parkings=_whole(found, "parkings"),
        last_status=_whole(found, "last-status") if "last-status" in found else None,
        last_error=_text(found, "last-error") if "last-error" in found else None,
        log=_lines(found, "log") if "log" in found else (),
    )


def trace_in(headers: Mapping[str, object]) -> dict[str, str]:
    """The W3C trace context among a message's headers, where text can also be a byte array."""
    found = {name: headers.get(name) for name in TRACE_HEADERS} if headers else {}
    texts = {name: text.decode("latin-1") if isinstance(text, bytes) else text for name, text in found.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _text(found: Mapping[str, object], key: str) -> str:
    match found.get(key):
        case str(text):
            return text
        case bytes(raw):  # AMQP byte arrays
            try:
                return raw.decode()
            except UnicodeDecodeError:
                raise _damaged(key) from None
    raise _damaged(key)


def _whole(found: Mapping[str, object], key: str) -> int:
    match found.get(key):
        case bool():
            raise _damaged(key)
        case int(number) if 0 <= number < _INT_END:
            return number
    raise _damaged(key)


def _lines(found: Mapping[str, object], key: str) -> tuple[str, ...]:
    match found.get(key):
        case list(entries):
            return tuple(_text({key: entry}, key) for entry in entries)
    raise _damaged(key)


def _damaged(key: str) -> InvalidEvent:
    return InvalidEvent(f"the message's header {PREFIX}{key} is missing or damaged")

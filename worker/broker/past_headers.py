"""A delivery's past as AMQP headers: how a message carries it through the broker from one taking to the next."""

from collections.abc import Mapping

from worker.domain.event import InvalidEvent
from worker.domain.past import Past

PREFIX = "x-delivery-"
_EVENT_ID = PREFIX + "event-id"

TRACE_HEADERS = ("traceparent", "tracestate")
"""Headers beside ours that stay with a message from one taking to the next (W3C Trace Context)."""

_INT_END = 2**53
"""Beyond, a float loses digits; none of ours comes near, and one more than AMQP's 64 bits could not be sent on."""

Headers = dict[str, str | int | list[str]]


def headers_of(past: Past) -> Headers:
    """The past as AMQP headers. Values hold no payload and no secret."""
    found: Headers = {
        _EVENT_ID: past.event_id,
        PREFIX + "first-seen": round(past.first_seen * 1000),
        PREFIX + "exchange": past.exchange,
        PREFIX + "routing-key": past.routing_key,
        PREFIX + "attempts": past.attempts,
        PREFIX + "parkings": past.parkings,
    }
    if past.webhook_id is not None:
        found[PREFIX + "webhook"] = past.webhook_id
    if past.last_status is not None:
        found[PREFIX + "last-status"] = past.last_status
    if past.last_error is not None:
        found[PREFIX + "last-error"] = past.last_error
    if past.replayed is not None:
        found[PREFIX + "replayed"] = round(past.replayed * 1000)
    if past.log:
        found[PREFIX + "log"] = list(past.log)
    return found


def carries_past(headers: Mapping[str, object]) -> bool:
    """Whether `past_in` finds one, or raises. Others put headers of their own on events: a shovel, a federation."""
    return headers.get(_EVENT_ID) is not None


def past_in(headers: Mapping[str, object]) -> Past | None:
    """The past in a message's headers; None for an event that comes from Evolution itself.

    Raises InvalidEvent when the headers are not ours: somebody else published to our queue.
    """
    if not carries_past(headers):
        return None
    return _read({key.removeprefix(PREFIX): value for key, value in headers.items() if key.startswith(PREFIX)})


def _read(found: dict[str, object]) -> Past:
    return Past(
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
        replayed=_whole(found, "replayed") / 1000 if "replayed" in found else None,
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

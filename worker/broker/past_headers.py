"""A delivery's past as AMQP headers: how a message carries it through the broker from one taking to the next."""

from collections.abc import Mapping

from worker.domain.event import InvalidEvent
from worker.domain.past import KEPT_ENTRIES, Past

PREFIX = "x-delivery-"
_EVENT_ID, _FIRST_SEEN = f"{PREFIX}event-id", f"{PREFIX}first-seen"
_EXCHANGE, _ROUTING_KEY, _WEBHOOK = f"{PREFIX}exchange", f"{PREFIX}routing-key", f"{PREFIX}webhook"
_ATTEMPTS, _PARKINGS, _LOG = f"{PREFIX}attempts", f"{PREFIX}parkings", f"{PREFIX}log"
_LAST_STATUS, _LAST_ERROR, _REPLAYED = f"{PREFIX}last-status", f"{PREFIX}last-error", f"{PREFIX}replayed"

TRACE_HEADERS = ("traceparent", "tracestate")
"""Headers beside ours that stay with a message from one taking to the next (W3C Trace Context)."""

_INT_END = 2**53
"""Beyond, a float loses digits; none of ours comes near, and one more than AMQP's 64 bits could not be sent on."""

LONGEST_TEXT = 1000
"""Characters. A name of AMQP's has 255 bytes, a text of ours KEPT_TEXT characters; what somebody else has written here
might fit no frame with what is added to it, and RabbitMQ closes the connection of a larger one."""

_RAW = bytes | bytearray
"""As texts come that are no UTF-8, and AMQP's byte arrays."""

Headers = dict[str, str | int | list[str]]


def headers_of(past: Past) -> Headers:
    """The past as AMQP headers. Values hold no payload and no secret."""
    found: Headers = {
        _EVENT_ID: past.event_id,
        _FIRST_SEEN: round(past.first_seen * 1000),
        _EXCHANGE: past.exchange,
        _ROUTING_KEY: past.routing_key,
        _ATTEMPTS: past.attempts,
        _PARKINGS: past.parkings,
    }
    if past.webhook_id is not None:
        found[_WEBHOOK] = past.webhook_id
    if past.last_status is not None:
        found[_LAST_STATUS] = past.last_status
    if past.last_error is not None:
        found[_LAST_ERROR] = past.last_error
    if past.replayed is not None:
        found[_REPLAYED] = round(past.replayed * 1000)
    if past.log:
        found[_LOG] = list(past.log)
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
    return Past(
        event_id=_text(headers, _EVENT_ID),
        first_seen=_whole(headers, _FIRST_SEEN) / 1000,
        exchange=_text(headers, _EXCHANGE),
        routing_key=_text(headers, _ROUTING_KEY),
        webhook_id=_text(headers, _WEBHOOK) if _WEBHOOK in headers else None,
        attempts=_whole(headers, _ATTEMPTS),
        parkings=_whole(headers, _PARKINGS),
        last_status=_whole(headers, _LAST_STATUS) if _LAST_STATUS in headers else None,
        last_error=_text(headers, _LAST_ERROR) if _LAST_ERROR in headers else None,
        log=_lines(headers, _LOG) if _LOG in headers else (),
        replayed=_whole(headers, _REPLAYED) / 1000 if _REPLAYED in headers else None,
    )


def trace_in(headers: Mapping[str, object]) -> dict[str, str]:
    """The W3C trace context among a message's headers, where text can also be a byte array; nothing longer than
    LONGEST_TEXT, of which the specification asks for half (3.3.1.5)."""
    found = {name: headers.get(name) for name in TRACE_HEADERS} if headers else {}
    texts = {name: text.decode("latin-1") if isinstance(text, _RAW) else text for name, text in found.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str) and len(text) <= LONGEST_TEXT}


def _text(found: Mapping[str, object], key: str) -> str:
    value = found.get(key)
    if isinstance(value, _RAW):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise _damaged(key) from None
    if isinstance(value, str) and len(value) <= LONGEST_TEXT:
        return value
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
            return tuple(_text({key: entry}, key) for entry in entries[-KEPT_ENTRIES:])
    raise _damaged(key)


def _damaged(key: str) -> InvalidEvent:
    return InvalidEvent(f"the message's header {key} is missing or damaged")

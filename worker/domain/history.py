"""What a message carries through the broker from one taking to the next, as AMQP headers."""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from worker.domain.event import InvalidEvent

PREFIX = "x-delivery-"
KEPT_ENTRIES = 20
"""Entries of the attempt log that travel along; older ones are dropped first."""

_INT_END = 2**53
"""Beyond, a float loses digits; none of ours comes near, and one more than AMQP's 64 bits could not be sent on."""

KEPT_TEXT = 300
"""Characters of an error or an entry that travel along: all headers must fit one AMQP frame."""

TRACE_HEADERS = ("traceparent", "tracestate")
"""Headers beside ours that stay with a message from one taking to the next (W3C Trace Context)."""

Headers = dict[str, str | int | list[str]]


class History(msgspec.Struct, frozen=True):
    """The past of one delivery, or of a whole event that was parked before its fan-out (webhook_id None).

    `first_seen` is Unix time in seconds when the event was first taken. `event_id` is event.identity().
    `log` has one line for each failed attempt: "<ISO time> <status or failure>". A Struct, because each delivery makes
    two, and a frozen dataclass of ten fields costs 4 us where this costs 1.
    """

    event_id: str
    first_seen: float
    exchange: str
    routing_key: str
    webhook_id: str | None = None
    attempts: int = 0
    parkings: int = 0
    last_status: int | None = None
    last_error: str | None = None
    log: tuple[str, ...] = ()

    def for_webhook(self, webhook_id: str) -> "History":
        return replace(self, webhook_id=webhook_id)

    def parked(self) -> "History":
        return replace(self, parkings=self.parkings + 1)

    def failed(self, status: int | None, error: str, entry: str) -> "History":
        """One more attempt charged. `entry` joins the log."""
        return replace(
            self,
            attempts=self.attempts + 1,
            last_status=status,
            last_error=sendable(error),
            log=(*self.log, sendable(entry))[-KEPT_ENTRIES:],
        )

    def headers(self) -> Headers:
        """As AMQP headers. Values hold no payload and no secret."""
        found: Headers = {
            "event-id": self.event_id,
            "first-seen": round(self.first_seen * 1000),
            "exchange": self.exchange,
            "routing-key": self.routing_key,
            "attempts": self.attempts,
            "parkings": self.parkings,
        }
        optional = {
            "webhook": self.webhook_id,
            "last-status": self.last_status,
            "last-error": self.last_error,
            "log": list(self.log) or None,
        }
        found |= {key: value for key, value in optional.items() if value is not None}
        return {PREFIX + key: value for key, value in found.items()}


def from_headers(headers: Mapping[str, object]) -> History | None:
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


def sendable(text: str) -> str:
    """Short, and encodable: what a receiver sent may come back as unpaired surrogates in an error's text."""
    return text[:KEPT_TEXT].encode(errors="replace").decode()


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

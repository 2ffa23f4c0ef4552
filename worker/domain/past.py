"""The past of a delivery: what is known of it from one taking of its message to the next."""

import msgspec
from msgspec.structs import replace

KEPT_ENTRIES = 20
"""Entries of the attempt log that travel along; older ones are dropped first."""

KEPT_TEXT = 300
"""Characters of an error or an entry that travel along: all of it must fit the headers of one AMQP frame."""


REDRIVEN = " redriven"
"""How the log's entry of a redrive ends."""


class Past(msgspec.Struct, frozen=True):
    """The past of one delivery, or of a whole event that was parked before its fan-out (webhook_id None).

    `first_seen` is Unix time in seconds when the event was first taken. `event_id` is event.identity(). `replayed`:
    when a replay published it once more, Unix seconds; None: it comes from Evolution itself.
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
    replayed: float | None = None

    @property
    def set_out(self) -> float:
        """Since when it has been on its way: what its age counts from. Its event may be older (`first_seen`)."""
        return self.first_seen if self.replayed is None else self.replayed

    @property
    def returned(self) -> bool:
        """Whether it was tried, parked or redriven before, even as a whole event: the archive may have lost it."""
        return self.webhook_id is not None or self.parkings > 0 or bool(self.log)

    @property
    def asked_for(self) -> bool:
        """Whether somebody asked for it although it had ended: nothing newer takes its place."""
        return self.replayed is not None or self.redriven

    @property
    def redriven(self) -> bool:
        """Whether it was a dead letter once: an operator asked for it, whatever came since."""
        return any(entry.endswith(REDRIVEN) for entry in self.log)

    def for_webhook(self, webhook_id: str) -> "Past":
        return replace(self, webhook_id=webhook_id)

    def parked(self) -> "Past":
        return replace(self, parkings=self.parkings + 1)

    def failed(self, status: int | None, error: str, entry: str) -> "Past":
        """One more attempt charged. `entry` joins the log."""
        return replace(
            self,
            attempts=self.attempts + 1,
            last_status=status,
            last_error=sendable(error),
            log=(*self.log, sendable(entry))[-KEPT_ENTRIES:],
        )


def sendable(text: str) -> str:
    """Short, and encodable: what a receiver sent may come back as unpaired surrogates in an error's text."""
    return text[:KEPT_TEXT].encode(errors="replace").decode()

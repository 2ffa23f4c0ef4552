"""What a replay needs of the archive (worker/broker/archive/reading.py)."""

from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from worker.basics.moments import iso


class ArchiveStalled(Exception):
    """The archive does not give what it has; later it may."""


class Archived(NamedTuple):
    """An event as Evolution published it. `offset` ascends, with holes of one at the ends of segments."""

    offset: int
    body: bytes
    exchange: str
    routing_key: str
    message_id: str | None


class Begin(NamedTuple):
    """The events since a moment begin at `offset` and end before the mark `end`.

    Only where nothing older is left can something be missing: then the archive was `born` after the moment or before it
    (Unix ms), or its head was `truncated` by its bounds.
    """

    offset: int
    end: str
    born: int | None
    truncated: bool

    def gone(self, since: int) -> str | None:
        """What is known to be missing since then, Unix milliseconds."""
        if self.truncated:
            return "the archive begins later: older events are gone by its bounds"
        if self.born is not None and self.born > since:
            return f"the archive was made at {iso(self.born / 1000, 'seconds')}: it has no older events"
        return None


class Nothing(NamedTuple):
    """No event since that moment stands in front of the mark `end`, which is at `offset`."""

    end: str
    offset: int


class Archive(Protocol):
    """Each call raises ConnectionError (or another error of the broker) when it breaks, and ArchiveStalled."""

    async def begin(self, since: float) -> Begin | Nothing:
        """Where the events since then begin, Unix seconds; up to a second early."""

    async def mark(self) -> str:
        """An end for `events`: what was archived before is in front of it."""

    async def first(self) -> int:
        """The offset of the oldest message that is left."""

    async def offset_at(self, moment: float, end: str) -> int | None:
        """Where the events since then begin; None: none of them stands in front of the mark `end`."""

    def events(self, offset: int, end: str) -> AsyncGenerator[Archived]:
        """From `offset` on, in order, up to the mark `end`. What was truncated meanwhile is jumped over silently."""

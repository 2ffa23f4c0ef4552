"""The deadlines of many POSTs, with one timer for all that may take equally long."""

import asyncio
from typing import Protocol


class Expires(Protocol):
    deadline: float
    """On the event loop's clock."""

    def expired(self) -> None:
        """Called once, at its deadline, when it is in the line no longer."""


class Line:
    """Those that may take equally long: whoever came first expires first. A timer runs for that one alone.

    Nearly all end long before, and cost an entry in a dict where a timer of its own is 1.2 us.
    """

    __slots__ = ("_loop", "_timer", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[Expires, None] = {}

    def add(self, one: Expires) -> None:
        self._waiting[one] = None
        if self._timer is None:
            self._timer = self._loop.call_at(one.deadline, self._look)

    def remove(self, one: Expires) -> None:
        del self._waiting[one]

    def _look(self) -> None:
        """The one that the timer was set for is due, or has ended meanwhile."""
        self._timer, now = None, self._loop.time()
        while (first := next(iter(self._waiting), None)) is not None:
            if first.deadline > now:
                self._timer = self._loop.call_at(first.deadline, self._look)
                return
            del self._waiting[first]
            first.expired()


class Deadlines:
    """The lines, by their seconds."""

    MOST_LINES = 256
    """Kept. Webhooks choose milliseconds; a line that is dropped goes on with what is in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: dict[float, Line] = {}

    def line(self, seconds: float) -> Line:
        line = self._lines.get(seconds)
        if line is None:
            if len(self._lines) >= self.MOST_LINES:
                del self._lines[next(iter(self._lines))]
            line = self._lines[seconds] = Line(self._loop)
        return line

"""Event loop lag: how late a timer fires, the largest of the last seconds."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from worker.basics.clock import TIMER_SECONDS

PERIOD_SECONDS = 0.25
REMEMBERED_SECONDS = 15.0
LEAST_LAG = 0.001


class LoopLag:
    """Measures while `run` runs; `worst` covers the last quarter of a minute, so that a scrape sees a spike."""

    def __init__(self) -> None:
        self._lags: deque[tuple[float, float]] = deque()
        self._sooner = asyncio.Event()

    @property
    def worst(self) -> float:
        while self._lags and self._lags[0][0] < time.monotonic() - REMEMBERED_SECONDS:
            self._lags.popleft()
        return max((lag for _, lag in self._lags), default=0.0)

    def sooner(self) -> None:
        """`next_wake` has come nearer."""
        self._sooner.set()

    async def run(self, tick: Callable[[], None], next_wake: Callable[[], float | None]) -> None:
        """Until cancelled; calls `tick` each period, and at the monotonic time that `next_wake` names, if sooner."""
        while True:
            due = _due(next_wake(), time.monotonic() + PERIOD_SECONDS)
            while await self._told_before(due):
                due = _due(next_wake(), due)
            self._note(time.monotonic() - due)
            tick()

    async def _told_before(self, due: float) -> bool:
        """False: it is due, and nobody has said before that there is something sooner."""
        self._sooner.clear()
        try:
            async with asyncio.timeout(max(0.0, due - time.monotonic())):
                return await self._sooner.wait()
        except TimeoutError:
            return False

    def _note(self, lag: float) -> None:
        """A smaller lag than a later one will never be the worst again, so it is not kept."""
        if lag < LEAST_LAG:
            return
        while self._lags and self._lags[-1][1] <= lag:
            self._lags.pop()
        self._lags.append((time.monotonic(), lag))


def _due(wake: float | None, latest: float) -> float:
    return latest if wake is None else min(max(wake, time.monotonic() + TIMER_SECONDS), latest)

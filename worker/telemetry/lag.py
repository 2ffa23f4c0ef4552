"""Event loop lag: how late a timer fires, the largest of the last seconds."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

PERIOD_SECONDS = 0.25
SHORTEST_SECONDS = 0.01
REMEMBERED_SECONDS = 15.0
LEAST_LAG = 0.001


class LoopLag:
    """Measures while `run` runs; `worst` covers the last quarter of a minute, so that a scrape sees a spike."""

    def __init__(self) -> None:
        self._lags: deque[tuple[float, float]] = deque()

    @property
    def worst(self) -> float:
        while self._lags and self._lags[0][0] < time.monotonic() - REMEMBERED_SECONDS:
            self._lags.popleft()
        return max((lag for _, lag in self._lags), default=0.0)

    async def run(self, tick: Callable[[], None], next_wake: Callable[[], float | None]) -> None:
        """Until cancelled; calls `tick` each period, and at the monotonic time that `next_wake` names, if sooner."""
        while True:
            now = time.monotonic()
            wake = next_wake()
            due = now + PERIOD_SECONDS if wake is None else min(max(wake, now + SHORTEST_SECONDS), now + PERIOD_SECONDS)
            await asyncio.sleep(due - now)
            self._note(time.monotonic() - due)
            tick()

    def _note(self, lag: float) -> None:
        """A smaller lag than a later one will never be the worst again, so it is not kept."""
        if lag < LEAST_LAG:
            return
        while self._lags and self._lags[-1][1] <= lag:
            self._lags.pop()
        self._lags.append((time.monotonic(), lag))

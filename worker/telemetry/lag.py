"""Event loop lag: how late a timer fires, the largest of the last seconds."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

PERIOD_SECONDS = 0.25
SHORTEST_SECONDS = 0.01
REMEMBERED = 60


class LoopLag:
    """Measures while `run` runs; `worst` covers the last quarter of a minute, so that a scrape sees a spike."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque([0.0], maxlen=REMEMBERED)

    @property
    def worst(self) -> float:
        return max(self._lags)

    async def run(self, tick: Callable[[], None], next_wake: Callable[[], float | None]) -> None:
        """Until cancelled; calls `tick` each period, and at the monotonic time that `next_wake` names, if sooner."""
        while True:
            now = time.monotonic()
            wake = next_wake()
            due = now + PERIOD_SECONDS if wake is None else min(max(wake, now + SHORTEST_SECONDS), now + PERIOD_SECONDS)
            await asyncio.sleep(due - now)
            self._lags.append(max(0.0, time.monotonic() - due))
            tick()

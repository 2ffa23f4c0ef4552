"""Event loop lag: how late a timer fires, the largest of the last seconds."""

import asyncio
from collections import deque
from collections.abc import Callable

PERIOD_SECONDS = 0.25
REMEMBERED = 60


class LoopLag:
    """Measures while `run` runs; `worst` covers the last quarter of a minute, so that a scrape sees a spike."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque([0.0], maxlen=REMEMBERED)

    @property
    def worst(self) -> float:
        return max(self._lags)

    async def run(self, tick: Callable[[], None]) -> None:
        """Until cancelled; calls `tick` each period."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PERIOD_SECONDS
            await asyncio.sleep(PERIOD_SECONDS)
            self._lags.append(max(0.0, loop.time() - due))
            tick()

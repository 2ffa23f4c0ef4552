"""Ordered events whose instance's webhooks are not known yet: one line and one task for each such instance.

As delivery/unknown.py, but an event that must wait for the store waits here, un-acked, and so do those behind it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from worker.basics.tasks import Tasks
from worker.delivery.ports import ConfigUnavailable, Webhooks
from worker.delivery.unknown import EVENTS_AT_ONCE
from worker.domain.choosing.subscriptions import Subscriptions
from worker.ordered.deciding.core import Core

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""Before the store is asked again that could not answer."""

GoOn = Callable[[Subscriptions], None]


class Lines:
    """What came for each instance, in the order in which it came. What came by a connection that has ended is dropped:
    it goes to another replica."""

    def __init__(self, webhooks: Webhooks, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._webhooks = webhooks
        self._sleep = sleep
        self._lines: dict[str, deque[tuple[Core, GoOn]]] = {}
        self._tasks = Tasks()

    def __len__(self) -> int:
        """Events in all of them."""
        return sum(map(len, self._lines.values()))

    def awaits(self, instance: str) -> bool:
        """Whether something of it is in line: others come behind, even if the webhooks are known by now."""
        return instance in self._lines

    def wait(self, instance: str, core: Core, go_on: GoOn) -> None:
        line = self._lines.get(instance)
        if line is None:
            line = self._lines[instance] = deque()
            self._tasks.start(self._look_up(instance, line))
        line.append((core, go_on))

    async def _look_up(self, instance: str, line: deque[tuple[Core, GoOn]]) -> None:
        """Nothing is taken between the last look at the line and its end: none overtakes, none is left."""
        try:
            while line:
                found = await self._found(instance, line)
                for _ in range(min(EVENTS_AT_ONCE, len(line))):
                    self._go_on(*line.popleft(), found)
                if line:
                    await asyncio.sleep(0)
        finally:
            del self._lines[instance]

    async def _found(self, instance: str, line: deque[tuple[Core, GoOn]]) -> Subscriptions:
        while True:
            try:
                return await self._webhooks.find(instance)
            except ConfigUnavailable:
                await self._sleep(AGAIN_SECONDS)
                kept = [one for one in line if not one[0].over]
                line.clear()
                line.extend(kept)
                if not line:
                    return Subscriptions()

    def _go_on(self, core: Core, go_on: GoOn, found: Subscriptions) -> None:
        """After a fault of the worker the message stays un-acked, and goes back with its channel."""
        try:
            if not core.over:
                go_on(found)
        except Exception:
            log.exception("an ordered event failed unexpectedly")

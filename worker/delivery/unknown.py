"""Events whose instance's webhooks are not known yet: one line and one task for each such instance.

A task for each event, each waiting for the one before it, kept a busy instance in line for good: before the last had
its turn, others had come behind it.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from worker.basics.tasks import Tasks
from worker.delivery.known import KnownWebhooks
from worker.delivery.open_deliveries import OpenDeliveries
from worker.delivery.ports import ConfigUnavailable, Message
from worker.domain.choosing.subscriptions import Subscriptions
from worker.domain.event import Event
from worker.domain.outcome import DeadLettered, Parked

EVENTS_AT_ONCE = 20
"""Of one line, before the event loop has its turn: a millisecond."""

Waiting = tuple[OpenDeliveries, Event]
Known = Subscriptions | Parked | DeadLettered


class UnknownInstances:
    """Has events wait, and hands each on in the order of arrival, with its instance's webhooks or what becomes of it.

    `tasks`: where it waits. `go_on` never raises; `cut` gets the events that waited when their task was cut by the
    drain deadline, `failed` those of one that failed, which only a fault of ours makes it do.
    """

    def __init__(
        self,
        known: KnownWebhooks,
        tasks: Tasks,
        go_on: Callable[[OpenDeliveries, Event, Known], None],
        cut: Callable[[OpenDeliveries, Event], None],
        failed: Callable[[Message, BaseException], None],
    ) -> None:
        self._known = known
        self._tasks = tasks
        self._go_on = go_on
        self._cut = cut
        self._failed = failed
        self._lines: dict[str, deque[Waiting]] = {}

    def awaits(self, instance: str) -> bool:
        """Whether an event of it is in line: others come behind, even if the webhooks are known by now."""
        return instance in self._lines

    def wait(self, deliveries: OpenDeliveries, event: Event) -> None:
        instance = event.instance
        line = self._lines.get(instance)
        if line is None:
            line = self._lines[instance] = deque()
            self._tasks.start(
                self._look_up(instance, line),
                lambda fault: self._end(instance, lambda deliveries, _: self._failed(deliveries.message, fault)),
                lambda: self._end(instance, self._cut),
            )
        line.append((deliveries, event))

    async def _look_up(self, instance: str, line: deque[Waiting]) -> None:
        """No event is taken between the last look at the line and its end: none overtakes, none is left."""
        while line:
            found = await self._known.find(instance)
            if isinstance(found, ConfigUnavailable):
                self._none_found(line, found)
                continue
            for _ in range(min(EVENTS_AT_ONCE, len(line))):
                deliveries, event = line.popleft()
                deliveries.late = True
                self._go_on(deliveries, event, found)
            if line:
                await asyncio.sleep(0)
        del self._lines[instance]

    def _none_found(self, line: deque[Waiting], error: ConfigUnavailable) -> None:
        """The whole line: a store that hangs would be asked, and waited for, once for each few of it."""
        while line:
            deliveries, event = line.popleft()
            deliveries.late = True
            self._go_on(deliveries, event, self._known.unknown(error, deliveries.past))

    def _end(self, instance: str, settle: Callable[[OpenDeliveries, Event], None]) -> None:
        for deliveries, event in self._lines.pop(instance):
            settle(deliveries, event)

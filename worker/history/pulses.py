"""Signs of life of instances on their way to the history's queue: gathered over a minute, merged by the database."""

import asyncio
import logging
from collections.abc import Callable

from worker.delivery.ports import PublishFailed
from worker.domain.event import Event
from worker.domain.silence.pulse import CONNECTIONS, MESSAGES, Pulse, connected_in
from worker.history.batches import encode_pulses

log = logging.getLogger(__name__)

PERIOD_SECONDS = 60.0
"""Silence is measured in minutes with messages. Trade-off: a process that is killed loses what it heard within one."""

MOST = 500
"""Of a message to the queue."""

MOST_WAITING = 50_000
"""Instances that are remembered while RabbitMQ takes nothing."""

Send = Callable[[bytes], asyncio.Future[object]]
"""Publishes one message; the future ends at the confirm, or raises PublishFailed."""


class InstancePulses:
    """ports.Pulses of one process. Costs an event one entry of a dictionary.

    Not counts, but the newest times: of several replicas, and of a message that comes twice, they can be merged.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: dict[str, float] = {}
        self._others: dict[str, float] = {}
        self._connections: dict[str, tuple[float, bool]] = {}

    def heard(self, event: Event, at: float) -> None:
        self.sign(event.kind, event.instance, at)
        if event.kind in CONNECTIONS and (connected := connected_in(event)) is not None:
            self._connections[event.instance] = at, connected

    def sign(self, kind: str, instance: str, at: float) -> None:
        (self._messages if kind in MESSAGES else self._others)[instance] = at

    async def run(self) -> None:
        """Sends what was heard once a minute, until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            await self._flush()

    async def finish(self, seconds: float) -> None:
        """Sends the rest within so many seconds; what is left is lost."""
        try:
            async with asyncio.timeout(seconds):
                await self._flush()
        except TimeoutError:
            log.info("RabbitMQ did not take the last pulses of instances")

    async def _flush(self) -> None:
        pulses = self._taken()
        try:
            while pulses:
                await self._send(encode_pulses(pulses[:MOST]))
                del pulses[:MOST]
        except PublishFailed as error:
            log.info("pulses of instances wait: %s", error)
            self._put_back(pulses)

    def _taken(self) -> list[Pulse]:
        messages, self._messages = self._messages, {}
        others, self._others = self._others, {}
        connections, self._connections = self._connections, {}
        return [
            Pulse(instance, _ms(messages.get(instance)), _ms(others.get(instance)), connected, _ms(at))
            for instance in sorted({*messages, *others})
            for at, connected in (connections.get(instance, (None, None)),)
        ]

    def _put_back(self, pulses: list[Pulse]) -> None:
        """What was heard meanwhile is newer."""
        for pulse in pulses[: max(0, MOST_WAITING - len(self._others))]:
            if pulse.message is not None:
                self._messages.setdefault(pulse.instance, pulse.message / 1000)
            if pulse.other is not None:
                self._others.setdefault(pulse.instance, pulse.other / 1000)
            if pulse.connected is not None and pulse.connection is not None:
                self._connections.setdefault(pulse.instance, (pulse.connection / 1000, pulse.connected))


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1000)

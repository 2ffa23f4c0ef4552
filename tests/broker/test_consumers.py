"""The consuming side on a real broker, in this process: the watchdog, and queues that appear later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.proxy import CONSUME, Proxy, Way
from tests.support.waiting import Facts
from worker.basics.tasks import end
from worker.broker.connection import Supervisor
from worker.broker.consuming import consumers as module
from worker.broker.consuming.consumers import Consumers
from worker.broker.consuming.consumption import Consumption
from worker.broker.consuming.plan import ConsumptionPlan, EvolutionQueues
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.topology import topology

CHANNEL_OPEN = b"\x00\x14\x00\x0a"


class Consuming:
    """Consumers under their supervisor, acking all that comes; `states` has each change of the connection."""

    def __init__(self, uri: str, plan: ConsumptionPlan) -> None:
        self.bodies: list[bytes] = []
        self.states: list[bool] = []
        self.facts = Facts()
        self.consumers = Consumers(self._handle, plan.prepare, plan.groups, 1 << 20, self._state)
        supervisor = Supervisor(uri, "test worker consume", self.consumers, lambda low, high: low, cuts=True)
        self.task = asyncio.create_task(supervisor.run())

    @property
    def first(self) -> Consumption:
        return self.consumers._relays[0]._current

    async def wait_body(self, body: bytes) -> None:
        await self.facts.wait_for(lambda: body in self.bodies, 15, lambda: f"consumed {self.bodies}")

    async def wait_states(self, *states: bool) -> None:
        await self.facts.wait_for(
            lambda: self.states[: len(states)] == list(states), 15, lambda: f"{self.states}, {self.task}"
        )

    def _handle(self, message: TakenMessage) -> None:
        self.bodies.append(message.body)
        self._end(message)
        self._told()

    def _end(self, message: TakenMessage) -> None:
        message.ack()

    def _state(self, connected: bool) -> None:
        self.states.append(connected)
        self._told()

    def _told(self) -> None:
        self._telling = asyncio.ensure_future(self.facts.changed())


@pytest.fixture
async def consume(broker: LocalBroker, names: Names, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """`consume(uri, EvolutionQueues, prefix="x")`, with a watchdog that looks fifty times a second."""
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.1)
    running: list[Consuming] = []
    queues = topology(names.prefix, names.exchange, (5,))

    def start(
        uri: str = broker.uri, plan: Callable[..., ConsumptionPlan] = ConsumptionPlan, **options: str
    ) -> Consuming:
        running.append(Consuming(uri, plan(queues, 10, declares=True, **options)))
        return running[-1]

    yield start
    await end(*(one.task for one in running))


async def test_a_consumer_that_is_lost_here_is_noticed(consume: Any, amqp: Amqp, names: Names) -> None:
    consuming = consume()
    await consuming.wait_states(True)
    consuming.first._channel.consumers.clear()
    await consuming.wait_states(True, False, True)
    await amqp.publish("", names.events, b"later", message_id="1")
    await consuming.wait_body(b"later")


async def test_a_consumer_that_only_the_broker_has_lost_is_noticed(consume: Any, amqp: Amqp, names: Names) -> None:
    consuming = consume()
    await consuming.wait_states(True)
    channel, tag = consuming.first._channel, consuming.first._tags[names.events]
    callback = channel.consumers[tag]
    cancelling = asyncio.ensure_future(channel.basic_cancel(tag))
    # Believed to be there all the time, as after a broker's fault.
    cancelling.add_done_callback(lambda _: channel.consumers.__setitem__(tag, callback))
    await consuming.wait_states(True, False, True)
    await amqp.publish("", names.events, b"later", message_id="1")
    await consuming.wait_body(b"later")


async def test_a_connection_that_stalls_while_the_broker_is_asked_does_not_end_the_supervisor(
    consume: Any, broker: LocalBroker, amqp: Amqp, names: Names
) -> None:
    async with Proxy(broker.port) as proxy:
        consuming = consume(proxy.uri(heartbeat=1))
        await consuming.wait_states(True)
        link = await proxy.link(CONSUME)
        link.stall(*Way)
        await link.wait_held(Way.UP, CHANNEL_OPEN)  # it begins to ask
        await consuming.wait_states(True, False, True)
        await amqp.publish("", names.events, b"later", message_id="1")
        await consuming.wait_body(b"later")


async def test_an_evolution_queue_that_appears_later_is_consumed(consume: Any, amqp: Amqp, names: Names) -> None:
    consuming = consume(plan=EvolutionQueues, prefix=names.prefix)
    await consuming.wait_states(True)
    queue = f"{names.prefix}.send.message"
    await amqp.declare_queue(queue)
    await amqp.publish("", queue, b"first", message_id="1")
    await consuming.wait_body(b"first")
    await amqp.publish("", names.events, b"redriven", message_id="2")
    await consuming.wait_body(b"redriven")
    assert consuming.states == [True], "without a new connection"
    await amqp.channel.queue_delete(queue)


async def test_while_it_pauses_the_broker_is_asked_no_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks ten times a second then, and in `queues` mode a probe asks for dozens of queues."""
    monkeypatch.setattr(module, "PAUSED_WATCH_SECONDS", 0.001)
    now, looks, probes, facts = [1000.0], [0], [0], Facts()
    telling: list[asyncio.Future[None]] = []

    def looked() -> bool:
        looks[0] += 1
        telling.append(asyncio.ensure_future(facts.changed()))
        return True

    async def groups(_: object) -> tuple[()]:
        probes[0] += 1
        return ()

    async def more_looks() -> None:
        wanted = looks[0] + 20
        await facts.wait_for(lambda: looks[0] >= wanted, 10, lambda: f"{looks}")

    unused: Any = None
    consumers = Consumers(unused, unused, groups, 0, unused, looked, lambda: now[0])
    consumers._connection, consumers._paused, consumers._held.bytes = AsyncMock(), True, 1
    watching = asyncio.create_task(consumers.broken())
    await more_looks()
    assert probes == [0]
    now[0] += module.PROBE_SECONDS
    await more_looks()
    assert probes == [1]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

"""The census on a real broker: what it counts, and that a broker which cannot answer does not end it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractConnection

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.waiting import Facts
from worker.basics.tasks import end
from worker.broker import census as module
from worker.broker.census import Census, Depths
from worker.broker.connection import close, connect
from worker.broker.declare import declare
from worker.broker.topology import Topology, topology


class Consuming:
    """A worker's consumers as far as the census asks for them; `connection` is set by the test."""

    def __init__(self) -> None:
        self.connection: AbstractConnection | None = None
        self.first_queues: tuple[str, ...] = ()

    def taken(self, group: int) -> int:
        return 0


class World:
    def __init__(self, queues: Topology) -> None:
        self.consuming = Consuming()
        self.counts: list[tuple[Depths, int]] = []
        self.census = Census(queues, self.consuming, time.monotonic, self._counted)
        self._facts, self._telling = Facts(), set[asyncio.Task[None]]()

    async def wait_for(self, events: int) -> tuple[Depths, int]:
        def seen() -> bool:
            return bool(self.counts) and self.counts[-1][0].events == events

        await self._facts.wait_for(seen, 15, lambda: f"counted {self.counts[-3:]}")
        return self.counts[-1]

    def _counted(self, depths: Depths, replicas: int) -> None:
        self.counts.append((depths, replicas))
        self._telling.add(asyncio.ensure_future(self._facts.changed()))


@pytest.fixture
async def world(amqp: Amqp, names: Names, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.02)
    monkeypatch.setattr(module, "FIRST_PERIOD_SECONDS", 0.01)
    queues = topology(names.prefix, names.exchange, (5,))
    await declare(amqp.connection, queues, bind=True)
    world = World(queues)
    watching = asyncio.create_task(world.census.watch())
    yield world
    await end(watching)


async def test_what_waits_is_counted_and_the_rate_is_shared_with_at_least_oneself(
    world: World, amqp: Amqp, names: Names
) -> None:
    extra = f"{names.prefix}.messages.upsert"
    await amqp.declare_queue(extra)
    world.consuming.first_queues = (names.events, extra)
    for queue, number in ((names.events, 2), (extra, 1)):
        for one in range(number):
            await amqp.publish("", queue, b"x", message_id=str(one))
    assert world.counts == [], "nobody is asked without a connection"
    world.consuming.connection = amqp.connection
    depths, replicas = await world.wait_for(events=3)
    assert depths.messages[names.events] == 2
    assert extra not in depths.messages
    assert (depths.replicas, replicas) == (0, 1)
    assert world.census.ages["events"]() > 0
    assert world.census.ages["retries"]() == 0
    await amqp.channel.queue_delete(extra)


async def test_a_queue_that_is_missing_or_a_lost_connection_does_not_end_it(
    world: World, broker: LocalBroker, amqp: Amqp, names: Names
) -> None:
    lost = await connect(broker.uri, "test census")
    world.consuming.connection = lost
    await world.wait_for(events=0)
    world.consuming.first_queues = (f"{names.prefix}.none",)
    await close(lost)
    await amqp.publish("", names.events, b"x", message_id="1")
    world.consuming.first_queues, world.consuming.connection = (), amqp.connection
    await world.wait_for(events=1)

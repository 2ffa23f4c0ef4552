"""A queue takes nothing more, or is deleted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.proof.chaos.world import World

BEFORE_SECONDS = 30.0
"""For the queues to become empty, while nothing is published."""

BURST = 20


async def delay_queue_full(world: World, chance: random.Random) -> None:
    await _full(world, world.names.retry(1), chance)


async def retries_queue_full(world: World, chance: random.Random) -> None:
    """Nobody takes what the delay queues give back: there it stays, refused, until it is taken; none is dropped."""
    queue = world.names.retries
    async with _limited(world, queue), world.amqp() as amqp:
        before = await _retried(world)
        burst = asyncio.create_task(world.producer.burst("flaky", 3 * BURST))
        await eventually(lambda: _retried(world), lambda now: now >= before + BURST, 20, "retries")
        async with _without_workers(world):
            await eventually(lambda: amqp.depth(queue), lambda depth: (depth or 0) > 1, 20, "a full queue")
        await burst


async def dead_queue_full(world: World, chance: random.Random) -> None:
    await _full(world, world.names.dead, chance)


async def events_queue_full(world: World, chance: random.Random) -> None:
    """Nobody takes events: one that is refused was never confirmed; those around it go their way."""
    async with _without_workers(world), _limited(world, world.names.events):
        issued = await world.producer.burst("plain 0", BURST)
        if all(one.number in world.ledger.confirmed for one in issued):
            raise AssertionError("no event was refused")


async def deleted(world: World, chance: random.Random) -> None:
    """Only while it is empty: what dies with a queue is lost by definition. So is what comes for the events' queue
    before a worker has made it anew; RabbitMQ returns none of that, as the ordered queue and the archive take it."""
    await world.producer.pause()
    try:
        if not await world.settled(BEFORE_SECONDS):
            raise AssertionError("the queues did not become empty, so none was deleted")
        await world.collect_letters()
        async with world.amqp() as amqp:
            for queue in chance.sample([*world.queues[:3], world.names.dead], chance.randint(1, 2)):
                await amqp.channel.queue_delete(queue)
            await amqp.wait_consumed(world.names.events)  # a worker has bound it before
    finally:
        world.producer.resume()
    await world.producer.burst("flaky", 6)
    await world.producer.burst("refuses", 6)
    world.declared_now()


async def _retried(world: World) -> float:
    """Retries of both workers that RabbitMQ has confirmed."""
    return sum([await replica.worker.metric("deliveries_total", outcome="Retried") for replica in world.replicas])


@asynccontextmanager
async def _without_workers(world: World) -> AsyncIterator[None]:
    """They are killed: a queue is full only while nobody takes from it."""
    await asyncio.gather(*(replica.worker.kill() for replica in world.replicas))
    try:
        yield
    finally:
        await asyncio.gather(*(replica.start() for replica in world.replicas))


async def _full(world: World, queue: str, chance: random.Random) -> None:
    async with _limited(world, queue):
        await asyncio.sleep(chance.uniform(2, 4))


@asynccontextmanager
async def _limited(world: World, queue: str) -> AsyncIterator[None]:
    """Meanwhile it rejects what is above one message.

    Then the limit is raised, not lifted: without any RabbitMQ 3.10 goes on refusing whom it refused before.
    """
    pattern = "^" + queue.replace(".", r"\.") + "$"
    limit = '{"max-length":%d,"overflow":"reject-publish"}'
    await world.ctl("set_policy", "--apply-to", "queues", "chaos", pattern, limit % 1)
    try:
        yield
    finally:
        await world.ctl("set_policy", "--apply-to", "queues", "chaos", pattern, limit % 1_000_000)

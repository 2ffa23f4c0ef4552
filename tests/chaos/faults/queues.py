"""A queue takes nothing more, or is deleted."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.world import World

BEFORE_SECONDS = 30.0
"""For the queues to become empty, while nothing is published."""

BURST = 20


async def delay_queue_full(world: World, chance: random.Random) -> None:
    await _full(world, world.names.retry(1), chance)


async def retries_queue_full(world: World, chance: random.Random) -> None:
    """What has waited in a delay queue goes nowhere, and must not be dropped."""
    await _full(world, world.names.retries, chance)


async def events_queue_full(world: World, chance: random.Random) -> None:
    """An event that is refused was never confirmed; those around it go their way."""
    filling = asyncio.create_task(_full(world, world.names.events, chance))
    try:
        while not filling.done():
            before = len(world.ledger.issued) - len(world.ledger.confirmed)
            await world.producer.burst("slow", BURST)
            if len(world.ledger.issued) - len(world.ledger.confirmed) > before:
                break
        else:
            raise AssertionError("no event was refused")
    finally:
        await filling


async def dead_queue_full(world: World, chance: random.Random) -> None:
    await _full(world, world.names.dead, chance)


async def deleted(world: World, chance: random.Random) -> None:
    """Only while it is empty: what dies with a queue is lost by definition."""
    await world.producer.pause()
    try:
        if not await world.settled(BEFORE_SECONDS):
            raise AssertionError("the queues did not become empty, so none was deleted")
        await world.collect_letters()
        async with world.amqp() as amqp:
            for queue in chance.sample([*world.queues[:3], world.names.dead], chance.randint(1, 2)):
                await amqp.channel.queue_delete(queue)
    finally:
        world.producer.resume()
    await world.producer.burst("flaky", 6)
    await world.producer.burst("refuses", 6)
    world.declared_now()


async def _full(world: World, queue: str, chance: random.Random) -> None:
    """For a while it rejects what is above one message.

    Then the limit is raised, not lifted: without any RabbitMQ 3.10 goes on refusing whom it refused before.
    """
    pattern = "^" + queue.replace(".", r"\.") + "$"
    limit = '{"max-length":%d,"overflow":"reject-publish"}'
    await world.ctl("set_policy", "--apply-to", "queues", "chaos", pattern, limit % 1)
    try:
        await asyncio.sleep(chance.uniform(2, 4))
    finally:
        await world.ctl("set_policy", "--apply-to", "queues", "chaos", pattern, limit % 1_000_000)

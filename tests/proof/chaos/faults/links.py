"""One worker's way to the broker breaks, stalls or slows down."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from tests.support.proxy import CONSUME, PUBLISH, Link, Way

if TYPE_CHECKING:
    from tests.proof.chaos.replica import Replica
    from tests.proof.chaos.world import World


async def reset(world: World, chance: random.Random) -> None:
    """Three times in a row, whatever connection is there."""
    replica = chance.choice(world.replicas)
    for _ in range(3):
        (await _link(replica, chance)).reset()
        await asyncio.sleep(chance.uniform(0.1, 1))
    await replica.worker.wait_ready()


async def cut(world: World, chance: random.Random) -> None:
    """In the middle of takings, acks, publishes or confirms."""
    replica, way = chance.choice(world.replicas), chance.choice(list(Way))
    link = await _link(replica, chance)
    link.cut(way, after=chance.randint(1, 1500 if way is Way.UP else 150))
    await world.producer.burst("flaky", 30)
    await link.wait_closed()
    await replica.worker.wait_ready()


async def stall_and_resume(world: World, chance: random.Random) -> None:
    link = await _link(chance.choice(world.replicas), chance)
    ways = _ways(chance)
    link.stall(*ways)
    await asyncio.sleep(chance.uniform(1, 4))
    link.resume(*ways)


async def stall_and_reset(world: World, chance: random.Random) -> None:
    replica = chance.choice(world.replicas)
    link = await _link(replica, chance)
    link.stall(*_ways(chance))
    await asyncio.sleep(chance.uniform(1, 4))
    link.reset()
    await replica.worker.wait_ready()


async def slow(world: World, chance: random.Random) -> None:
    replica = chance.choice(world.replicas)
    links = [await replica.proxy.link(name) for name in (CONSUME, PUBLISH)]
    for link in links:
        link.delay = chance.uniform(0.02, 0.2)
    await asyncio.sleep(chance.uniform(2, 4))
    for link in links:
        link.delay = 0.0


async def refuse_publishing(world: World, chance: random.Random) -> None:
    """It can consume, and acknowledge, but store no retry."""
    replica = chance.choice(world.replicas)
    replica.proxy.refuse(PUBLISH)
    try:
        await asyncio.sleep(chance.uniform(1, 4))
    finally:
        replica.proxy.allow(PUBLISH)
    await replica.worker.wait_ready()


async def _link(replica: Replica, chance: random.Random) -> Link:
    return await replica.proxy.link(chance.choice([CONSUME, PUBLISH]))


def _ways(chance: random.Random) -> tuple[Way, ...]:
    return chance.choice([(Way.UP,), (Way.DOWN,), (Way.UP, Way.DOWN)])

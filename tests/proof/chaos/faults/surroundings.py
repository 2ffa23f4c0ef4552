"""The store, the receivers, the names and the clock."""

from __future__ import annotations

import asyncio
import random
import resource
from typing import TYPE_CHECKING

from tests.proof.chaos.subscriptions import CAST, GONE_FROM
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.proof.chaos.world import World

MOVES = next(one for one in CAST if one.instance == "moves")
GONE = next(one for one in CAST if one.instance == "gone")
LONGEST_SECONDS = 5.0
"""Over the cache's time to live (3 s): what is cached grows old meanwhile."""


async def file_gone(world: World, chance: random.Random) -> None:
    async with world.database.replaced(None):
        await asyncio.sleep(chance.uniform(1, LONGEST_SECONDS))


async def file_damaged(world: World, chance: random.Random) -> None:
    """The worker that starts meanwhile knows no webhook at all: everything it takes is parked."""
    async with world.database.replaced(chance.randbytes(8192)):
        replica = chance.choice(world.replicas)
        await replica.worker.kill()
        await replica.start(ready=False)
        await asyncio.sleep(chance.uniform(1, LONGEST_SECONDS))
    await replica.worker.wait_ready()


async def disk_full(world: World, chance: random.Random) -> None:
    """No worker can write a byte to a file; the webhook that answers 410 stays disabled all the same."""
    await world.wait_for_posts(lambda: len(world.ledger.issued) > GONE_FROM, "too few events")
    await world.database.change(GONE.webhook(world.receiver.url()), world.broker.uri, world.names.config)
    pids = [replica.worker.pid for replica in world.replicas]
    before = [resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY)) for pid in pids]
    try:
        await world.producer.burst("gone", 4)
        await eventually(lambda: _said(world, "is disabled in memory only"), bool, 15, "a 410 that cannot be written")
    finally:
        for pid, limits in zip(pids, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


async def _said(world: World, words: str) -> bool:
    return any(words in line for replica in world.replicas for line in replica.worker.lines)


async def postgresql_stopped(world: World, chance: random.Random) -> None:
    async with world.database.stopped():
        if chance.random() < 0.5:
            replica = chance.choice(world.replicas)
            await replica.worker.kill()
            await replica.start(ready=False)
        await asyncio.sleep(chance.uniform(1, LONGEST_SECONDS))
    await asyncio.gather(*(replica.worker.wait_ready() for replica in world.replicas))


async def receiver_restart(world: World, chance: random.Random) -> None:
    await world.receiver.stop()
    await asyncio.sleep(chance.uniform(0.5, 3))
    await world.receiver.start()


async def name_unresolved(world: World, chance: random.Random) -> None:
    """A webhook's host has no address for a while; then the webhook gets its right URL back."""
    database, config = world.database, world.names.config
    await database.change(MOVES.webhook("http://receiver.invalid"), world.broker.uri, config)
    try:
        await world.producer.burst("moves", 8)
        await asyncio.sleep(chance.uniform(1, 4))
    finally:
        await database.change(MOVES.webhook(world.receiver.url()), world.broker.uri, config)


async def clock_jumps(world: World, chance: random.Random) -> None:
    """Up to an hour, both ways, for both workers; and back."""
    for _ in range(3):
        world.set_clock(chance.uniform(-3600, 3600))
        await asyncio.sleep(chance.uniform(0.5, 1.5))
    world.set_clock(0.0)

"""What is aimed at the active replica, the one that delivers in order, and at the sidings."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import TYPE_CHECKING

from tests.proof.chaos.faults.replays import done
from tests.proof.chaos.subscriptions import OUTAGE, down, steady
from tests.support.proxy import Way
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.proof.chaos.replica import Replica
    from tests.proof.chaos.world import World

BURST = 130
"""More than may wait outside a siding."""

CONNECTION = " ordered"
"""How the name of the connection ends."""

ACTIVE_SECONDS = 30.0
LEASE_SECONDS = (4.0, 12.0)
"""Frozen for so long: longer than a lease, and sometimes than RabbitMQ's patience."""


async def active_killed(world: World, chance: random.Random) -> None:
    replica = await _active(world)
    await world.producer.burst(OUTAGE, 20)
    await replica.kill_and_start(chance)
    await _active(world)


async def active_frozen(world: World, chance: random.Random) -> None:
    """It goes on in the belief that it is active still."""
    worker = (await _active(world)).worker
    await world.producer.burst(OUTAGE, 20)
    worker.send_signal(signal.SIGSTOP)
    await asyncio.sleep(chance.uniform(*LEASE_SECONDS))
    worker.send_signal(signal.SIGCONT)
    await world.producer.burst(OUTAGE, 20)
    await worker.wait_ready()


async def down_and_killed(world: World, chance: random.Random) -> None:
    """No event comes for it meanwhile but those of the steady flow: the next one finds its siding."""
    await _into_a_siding(world)
    try:
        await (await _active(world)).kill_and_start(chance)
        await _active(world)
    finally:
        world.receiver.behaviours[f"/{OUTAGE}"] = steady


async def killed_coming_back(world: World, chance: random.Random) -> None:
    """While the siding is emptied, or on the way back from it."""
    await _into_a_siding(world)
    replica = await _active(world)
    before = len(world.ledger.posts)
    world.receiver.behaviours[f"/{OUTAGE}"] = steady
    wanted = before + chance.randrange(1, BURST)
    await world.wait_for_posts(lambda: len(world.ledger.posts) >= wanted, "the siding to be emptied", 60)
    await replica.kill_and_start(chance)
    await _active(world)


async def active_stalled(world: World, chance: random.Random) -> None:
    """Nothing of it comes through, both ways: RabbitMQ gives it up, and it does not know."""
    replica = await _active(world)
    link = await replica.proxy.link(CONNECTION)
    link.stall(*Way)
    await world.producer.burst(OUTAGE, 20)
    await asyncio.sleep(chance.uniform(*LEASE_SECONDS))
    link.resume(*Way)
    await world.producer.burst(OUTAGE, 20)
    await replica.worker.wait_ready()


async def paused(world: World, chance: random.Random) -> None:
    """What comes meanwhile waits in a siding; whoever is active then has it, and it comes before what comes later."""
    replica = await _active(world)
    await done(replica, "webhook", "pause", OUTAGE)
    try:
        await world.producer.burst(OUTAGE, 12)
        await asyncio.sleep(chance.uniform(0.5, 4))
        if chance.random() < 0.5:
            await (await _active(world)).kill_and_start(chance)
        await world.producer.burst(OUTAGE, 12)
    finally:
        await done(replica, "webhook", "resume", OUTAGE)
    await world.producer.burst(OUTAGE, 12)
    await _active(world)


async def _into_a_siding(world: World) -> None:
    world.receiver.behaviours[f"/{OUTAGE}"] = down
    await _active(world)
    await world.producer.burst(OUTAGE, BURST)
    await eventually(lambda: _most(world, "ordered_sidings"), lambda count: count >= 1, 40, "a siding")


async def _active(world: World) -> Replica:
    """The one that is, once one is."""

    async def found() -> Replica | None:
        for replica in world.replicas:
            if replica.worker.running and await replica.worker.metric("ordered_active"):
                return replica
        return None

    replica = await eventually(found, lambda one: one is not None, ACTIVE_SECONDS, "a replica to be active")
    assert replica is not None
    return replica


async def _most(world: World, metric: str) -> float:
    return max([await replica.worker.metric(metric) for replica in world.replicas if replica.worker.running], default=0)

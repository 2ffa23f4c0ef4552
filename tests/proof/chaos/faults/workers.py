"""The worker's process ends, or freezes, at any moment."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.proof.chaos.replica import Replica
    from tests.proof.chaos.world import World


async def kill(world: World, chance: random.Random) -> None:
    await chance.choice(world.replicas).kill_and_start(chance)


async def kill_both(world: World, chance: random.Random) -> None:
    await asyncio.gather(*(replica.kill_and_start(chance) for replica in world.replicas))


async def terminate(world: World, chance: random.Random) -> None:
    await terminate_one(world, chance.choice(world.replicas))


async def terminate_both(world: World, chance: random.Random) -> None:
    await asyncio.gather(*(terminate_one(world, replica) for replica in world.replicas))


async def freeze(world: World, chance: random.Random) -> None:
    """Long enough for what it holds to grow old, too short for the broker to give it up."""
    worker = chance.choice(world.replicas).worker
    worker.send_signal(signal.SIGSTOP)
    await asyncio.sleep(chance.uniform(0.5, 3))
    worker.send_signal(signal.SIGCONT)
    if chance.random() < 0.5:
        await worker.wait_ready()


async def terminate_one(world: World, replica: Replica) -> None:
    """It ends with 0, whatever its connections are like."""
    code = await replica.end()
    if code:
        world.problems.append(f"exit code after SIGTERM: {code}")
    await replica.start()

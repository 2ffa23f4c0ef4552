"""RabbitMQ goes away, hangs up, or takes nothing more."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.proof.chaos.world import World


async def restart(world: World, chance: random.Random) -> None:
    async with world.rabbitmq_away():
        await asyncio.to_thread(world.broker.stop)
        await _back(world, chance)


async def kill(world: World, chance: random.Random) -> None:
    await world.durable()
    async with world.rabbitmq_away():
        await asyncio.to_thread(world.broker.kill)
        await _back(world, chance)


async def kill_with_worker(world: World, chance: random.Random) -> None:
    """The worker that is killed comes back to no broker at all."""
    await world.durable()
    async with world.rabbitmq_away():
        await asyncio.to_thread(world.broker.kill)
        replica = chance.choice(world.replicas)
        await replica.worker.kill()
        await replica.start(ready=False)
        await _back(world, chance)


async def close_all_connections(world: World, chance: random.Random) -> None:
    await world.ctl("close_all_connections", "maintenance")
    await asyncio.gather(*(replica.worker.wait_ready() for replica in world.replicas))


async def memory_alarm(world: World, chance: random.Random) -> None:
    """Publishers are blocked; every other time a worker that waits for its confirms is killed."""
    async with world.rabbitmq_away():
        await asyncio.to_thread(world.broker.memory_alarm, True)
        try:
            await asyncio.sleep(chance.uniform(1, 3))
            if chance.random() < 0.5:
                replica = chance.choice(world.replicas)
                await replica.worker.kill()
                await replica.start(ready=False)
        finally:
            await asyncio.to_thread(world.broker.memory_alarm, False)
    await asyncio.gather(*(replica.worker.wait_ready() for replica in world.replicas))


async def _back(world: World, chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(0, 1.5))
    await asyncio.to_thread(world.broker.start)
    await asyncio.gather(*(replica.worker.wait_ready() for replica in world.replicas))

"""What cuts the worker's connections now and then; each heals within seconds, and the worker is ready again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.proof.chaos.world import World
from tests.support.proxy import CONSUME, PUBLISH, Way
from tests.support.waiting import eventually

RECEIVER_SECONDS = 0.5
"""How long the receiver is away: shorter than the retries' last delay, so that nothing dies of it."""

Disturbance = Callable[[World, random.Random], Awaitable[None]]


async def closed_by_broker(world: World, chance: random.Random) -> None:
    """The producer's too."""
    await _reconnected(world, lambda: world.ctl("close_all_connections", "maintenance"))


async def reset_while_consuming(world: World, chance: random.Random) -> None:
    await _reset(world, CONSUME)


async def reset_while_publishing(world: World, chance: random.Random) -> None:
    await _reset(world, PUBLISH)


async def cut_in_mid_frame(world: World, chance: random.Random) -> None:
    link = await world.replicas[0].proxy.link(CONSUME)

    async def cut() -> None:
        link.cut(chance.choice(list(Way)), after=chance.randint(1, 1500))
        await link.wait_closed()

    await _reconnected(world, cut)


async def receiver_restarted(world: World, chance: random.Random) -> None:
    await world.receiver.stop()
    await asyncio.sleep(RECEIVER_SECONDS)
    await world.receiver.start()


DISTURBANCES: dict[str, Disturbance] = {
    "the broker closed all connections": closed_by_broker,
    "the consuming connection was reset": reset_while_consuming,
    "the publishing connection was reset": reset_while_publishing,
    "the consuming connection was cut in mid-frame": cut_in_mid_frame,
    "the receiver restarted": receiver_restarted,
}


async def _reset(world: World, name: str) -> None:
    async def reset() -> None:
        (await world.replicas[0].proxy.link(name)).reset()

    await _reconnected(world, reset)


async def _reconnected(world: World, harm: Callable[[], Awaitable[object]]) -> None:
    """Readiness alone would not do: it can be asked before the worker has noticed."""
    worker = world.replicas[0].worker
    before = await worker.metric("broker_reconnects_total")
    await harm()
    await eventually(
        lambda: worker.metric("broker_reconnects_total"), lambda now: now > before, 30, "a connection made anew"
    )
    await worker.wait_ready()

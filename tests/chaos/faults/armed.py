"""kill -9 at the worst points. The proxy makes them last: what it holds back has not happened for the broker."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from tests.support.proxy import BASIC_ACK, CONSUME, PUBLISH, Way
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.chaos.world import World

REDRIVE = "dead redrive"
LETTERS = 12
ACK_DELAY_SECONDS = 0.3
"""Of the redrive's connection: a worker delivers a letter long before the redrive hears of its confirm."""


async def after_post_before_ack(world: World, chance: random.Random) -> None:
    replica = chance.choice(world.replicas)
    link = await replica.proxy.link(CONSUME)
    link.stall(Way.UP)
    await world.producer.burst("plain 0", 8)
    await link.wait_held(Way.UP, BASIC_ACK)
    await replica.kill_and_start(chance, 0.3)


async def after_confirm_before_ack(world: World, chance: random.Random) -> None:
    replica = chance.choice(world.replicas)
    link = await replica.proxy.link(CONSUME)
    before = await replica.worker.metric("deliveries_total", outcome="Retried")
    link.stall(Way.UP)
    await world.producer.burst("flaky", 12)
    await replica.worker.wait_metric("deliveries_total", before + 1, outcome="Retried")
    await link.wait_held(Way.UP, BASIC_ACK)
    await replica.kill_and_start(chance, 0.3)


async def before_publish(world: World, chance: random.Random) -> None:
    replica = chance.choice(world.replicas)
    link = await replica.proxy.link(PUBLISH)
    link.stall(Way.UP)
    await world.producer.burst("flaky", 12)
    await link.wait_held(Way.UP, f"{world.names.prefix}.retry.".encode())
    await replica.kill_and_start(chance, 0.3)


async def before_confirm(world: World, chance: random.Random) -> None:
    replica = chance.choice(world.replicas)
    link = await replica.proxy.link(PUBLISH)
    link.stall(Way.DOWN)
    await world.producer.burst("flaky", 12)
    await link.wait_held(Way.DOWN)
    await replica.kill_and_start(chance, 0.3)


async def between_two_deliveries(world: World, chance: random.Random) -> None:
    """One of them is answered, the other under way: whichever worker has the event, both are killed."""
    held = chance.choice(["/two/main", "/two/audit/messages-upsert"])
    world.receiver.hold(held)
    try:
        numbers = {issued.number for issued in await world.producer.burst("two", 4)}

        def halfway() -> bool:
            ours = [post for post in world.ledger.posts if post.number in numbers and post.path.startswith("/two")]
            return any(post.path == held for post in ours) and any(post.status == 200 for post in ours)

        await world.wait_for_posts(halfway, "no event is halfway")
        await asyncio.gather(*(replica.worker.kill() for replica in world.replicas))
    finally:
        world.receiver.release(held)
    await asyncio.gather(*(replica.start() for replica in world.replicas))


async def redrive_killed(world: World, chance: random.Random) -> None:
    """A redriven letter is delivered before the redrive's acks have passed: the letters are there twice."""
    letters = await _make_letters(world)
    replica = chance.choice(world.replicas)
    command = replica.command("dead", "redrive", "--all")
    await command.start(ready=False)
    try:
        link = await replica.proxy.link(REDRIVE)
        link.delay = ACK_DELAY_SECONDS
        await world.wait_for_posts(lambda: _posts_of(world, letters) > len(letters), "nothing was redriven", 20)
        link.stall(Way.UP)
        await link.wait_held(Way.UP, BASIC_ACK)
    finally:
        await command.kill()


async def redrive_cut(world: World, chance: random.Random) -> None:
    await _make_letters(world)
    replica = chance.choice(world.replicas)
    command = replica.command("dead", "redrive", "--all")
    await command.start(ready=False)
    try:
        link = await replica.proxy.link(REDRIVE)
        link.cut(chance.choice(list(Way)), after=chance.randint(500, 8000))
        await command.wait()
    finally:
        await command.kill()


async def _make_letters(world: World) -> set[int]:
    """A dozen events that a receiver has refused, beside those of the steady flow; their numbers."""
    issued = await world.producer.burst("refuses", 3 * LETTERS)
    letters = {one.number for one in issued if one.number % 3 == 0}
    await world.wait_for_posts(lambda: _posts_of(world, letters) >= len(letters), "no letters")
    async with world.amqp() as amqp:
        await eventually(
            lambda: amqp.depth(world.names.dead), lambda depth: (depth or 0) >= len(letters), 15, "letters"
        )
    return letters


def _posts_of(world: World, numbers: set[int]) -> int:
    return sum(post.number in numbers and post.status == 404 for post in world.ledger.posts)

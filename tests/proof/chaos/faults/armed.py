"""kill -9 and SIGTERM at the worst points. The proxy makes them last: what it holds back the broker has not seen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.proof.chaos.faults.workers import terminate_one
from tests.support.proxy import BASIC_ACK, CONSUME, PUBLISH, Link, Way
from tests.support.waiting import eventually
from tests.support.worker import Worker

if TYPE_CHECKING:
    from tests.proof.chaos.replica import Replica
    from tests.proof.chaos.world import World

REDRIVE = "dead redrive"
LETTERS = 12
ACK_DELAY_SECONDS = 0.3
"""Of the redrive's connection: a worker delivers a letter long before the redrive hears of its confirm."""


async def after_post_before_ack(world: World, chance: random.Random) -> None:
    await (await _acks_held(world, chance)).kill_and_start(chance, 0.3)


async def terminated_after_post(world: World, chance: random.Random) -> None:
    """It drains, and says goodbye to a broker that hears nothing of it."""
    await terminate_one(world, await _acks_held(world, chance))


async def after_confirm_before_ack(world: World, chance: random.Random) -> None:
    await (await _ack_of_a_retry_held(world, chance)).kill_and_start(chance, 0.3)


async def terminated_after_confirm(world: World, chance: random.Random) -> None:
    await terminate_one(world, await _ack_of_a_retry_held(world, chance))


async def _acks_held(world: World, chance: random.Random) -> Replica:
    """A worker whose acks do not reach the broker, with one of them on its way."""
    replica = chance.choice(world.replicas)
    link = await replica.proxy.link(CONSUME)
    link.stall(Way.UP)
    await world.producer.burst("plain 0", 8)
    await link.wait_held(Way.UP, BASIC_ACK)
    return replica


async def _ack_of_a_retry_held(world: World, chance: random.Random) -> Replica:
    replica = chance.choice(world.replicas)
    link = await replica.proxy.link(CONSUME)
    before = await replica.worker.metric("deliveries_total", outcome="Retried")
    link.stall(Way.UP)
    await world.producer.burst("flaky", 12)
    await replica.worker.wait_metric("deliveries_total", before + 1, outcome="Retried")
    await link.wait_held(Way.UP, BASIC_ACK)
    return replica


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
    async with _halfway(world, chance):
        await asyncio.gather(*(replica.worker.kill() for replica in world.replicas))
    await asyncio.gather(*(replica.start() for replica in world.replicas))


async def terminated_between_two_deliveries(world: World, chance: random.Random) -> None:
    """The drain is shorter than the receiver takes: what is unfinished is parked."""
    async with _halfway(world, chance):
        await asyncio.gather(*(terminate_one(world, replica) for replica in world.replicas))


@asynccontextmanager
async def _halfway(world: World, chance: random.Random) -> AsyncIterator[None]:
    held = chance.choice(["/two/main", "/two/audit/messages-upsert"])
    world.receiver.hold(held)
    try:
        numbers = {issued.number for issued in await world.producer.burst("two", 4)}

        def halfway() -> bool:
            ours = [post for post in world.ledger.posts if post.number in numbers and post.path.startswith("/two")]
            return any(post.path == held for post in ours) and any(post.status == 200 for post in ours)

        await world.wait_for_posts(halfway, "no event is halfway")
        yield
    finally:
        world.receiver.release(held)


async def redrive_killed(world: World, chance: random.Random) -> None:
    async with _redriving(world, chance) as (command, link):
        await _hold_its_acks(link)
        await command.kill()


async def redrive_terminated(world: World, chance: random.Random) -> None:
    async with _redriving(world, chance) as (command, link):
        await _hold_its_acks(link)
        await command.stop()


async def worker_killed_in_redrive(world: World, chance: random.Random) -> None:
    """With redriven letters in its hands; the redrive itself goes on to its end."""
    async with _redriving(world, chance) as (command, _):
        await chance.choice(world.replicas).kill_and_start(chance, 0.3)
        code = await command.wait()
        if code:
            world.problems.append(f"exit code of the redrive: {code}")


@asynccontextmanager
async def _redriving(world: World, chance: random.Random) -> AsyncIterator[tuple[Worker, Link]]:
    """A redrive of a dozen letters, one of them delivered again before the redrive's acks have passed."""
    letters = await _make_letters(world)
    replica = chance.choice(world.replicas)
    command = replica.command("dead", "redrive", "--all")
    await command.start(ready=False)
    try:
        link = await replica.proxy.link(REDRIVE)
        link.delay = ACK_DELAY_SECONDS
        await world.wait_for_posts(lambda: _posts_of(world, letters) > len(letters), "nothing was redriven", 20)
        yield command, link
    finally:
        await command.kill()


async def _hold_its_acks(link: Link) -> None:
    """What was redriven is then in two places: delivered, and dead still."""
    link.stall(Way.UP)
    await link.wait_held(Way.UP, BASIC_ACK)


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

"""What people do meanwhile: a webhook is paused and resumed, and everything is sent to one again."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

from tests.proof.chaos.replica import Replica
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.proof.chaos.world import World

PAUSED, REPLAYED = "plain 0", "plain 1"
COMMAND_SECONDS = 30.0
TRIES = 3


async def paused_and_resumed(world: World, chance: random.Random) -> None:
    """What came meanwhile comes after the resume, whoever is killed in between: the ledger misses nothing."""
    replica = chance.choice(world.replicas)
    await done(replica, "webhook", "pause", PAUSED)
    try:
        await world.producer.burst(PAUSED, 12)
        await asyncio.sleep(chance.uniform(0.5, 4))
        if chance.random() < 0.5:
            await chance.choice(world.replicas).kill_and_start(chance)
    finally:
        await done(replica, "webhook", "resume", PAUSED)
    if chance.random() < 0.5:
        await chance.choice(world.replicas).kill_and_start(chance)
    await _all_ended(replica)


async def everything_again(world: World, chance: random.Random) -> None:
    """A command that is killed on the way; the workers go on. Repeats have one id."""
    replica = chance.choice(world.replicas)
    asked = replica.command("replay", REPLAYED, "--since", "1h", "--all", "--rate", "40")
    await asked.start(ready=False)
    await asyncio.sleep(chance.uniform(5, 12))
    await asked.kill()
    await _all_ended(replica)


async def done(replica: Replica, *arguments: str) -> None:
    """The command, again if a fault before it is still felt."""
    said = ""
    for _ in range(TRIES):
        command = replica.command(*arguments)
        await command.start(ready=False)
        if await command.wait(COMMAND_SECONDS) == 0:
            return
        said = command.output()
    raise AssertionError(f"{' '.join(arguments)}: {said}")


async def _all_ended(replica: Replica) -> None:
    async def unfinished() -> list[Any]:
        command = replica.command("replays", "list", "--json")
        await command.start(ready=False)
        await command.wait(COMMAND_SECONDS)
        return [job for job in json.loads("\n".join(command.lines)) if job["ended_at"] is None]

    await eventually(unfinished, lambda jobs: not jobs, 90, "all replays to end")

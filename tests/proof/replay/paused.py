"""A webhook that is paused under load, at two replicas, and resumed: every event of that time must come."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.proof.replay.stage import Stage
from tests.support.amqp import Amqp
from tests.support.waiting import eventually

AROUND_SECONDS = 5.0
"""Of load in front of the pause and behind the resume."""
LONG_SECONDS = 1200.0


async def paused(folder: Path, seconds: float, rate: int) -> dict[str, Any]:
    """`rate` events a second all the time. `holds`: none is missing, and none came while it was paused."""
    async with AsyncExitStack() as stack:
        stage = await Stage.opened(stack, folder, workers=2)
        amqp = await stack.enter_async_context(await Amqp.connect(stage.broker.uri))
        load = Load(stage, amqp, rate)
        await load.run(AROUND_SECONDS)
        await asyncio.gather(load.run(AROUND_SECONDS), stage.command("webhook", "pause", "acme"))
        known = len(stage.receiver.first)
        await load.run(seconds)
        meanwhile = len(stage.receiver.first) - known
        began = time.monotonic()
        await asyncio.gather(load.run(AROUND_SECONDS), stage.command("webhook", "resume", "acme"))
        job = await eventually(
            stage.newest_replay, lambda found: found["ended_at"] is not None, LONG_SECONDS, "the resume to end"
        )
        missing = await _missing(stage, load.published)
        return {
            "events": load.published,
            "paused_seconds": seconds,
            "meanwhile": meanwhile,
            "missing": missing,
            "twice": (stage.receiver.first + stage.receiver.replayed).total() - load.published + missing,
            "state": job["state"],
            "sent": job["sent"],
            "seconds_to_catch_up": round(time.monotonic() - began, 1),
            "holds": missing == 0 and meanwhile == 0 and job["state"] == "done",
        }


class Load:
    """`published`: how many events RabbitMQ has confirmed; the next one has that number."""

    def __init__(self, stage: Stage, amqp: Amqp, rate: int) -> None:
        self.published = 0
        self._stage = stage
        self._amqp = amqp
        self._rate = rate

    async def run(self, seconds: float) -> None:
        began, first = time.monotonic(), self.published
        while (spent := time.monotonic() - began) < seconds:
            due = first + int(spent * self._rate)
            if due > self.published:
                await self._stage.publish(self._amqp, self.published, due)
                self.published = due
            await asyncio.sleep(0.1)


async def _missing(stage: Stage, published: int) -> int:
    """Of the ids; waits while they come."""
    receiver = stage.receiver

    async def arrived() -> int:
        return len(receiver.first.keys() | receiver.replayed.keys())

    try:
        await eventually(arrived, lambda got: got >= published, 60.0, f"{published} to arrive")
    except AssertionError:
        return published - await arrived()
    return 0

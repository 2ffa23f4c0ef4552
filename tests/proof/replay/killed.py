"""A replay whose process is killed on the way: what is missing then, and what comes twice."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from tests.proof.replay.stage import Stage
from tests.support.amqp import Amqp
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.replay.pace import BATCH

SECONDS = 900.0
LONG_SECONDS = 1200.0

IN_FLIGHT = BATCH + 20
"""When a process is killed the history may not have heard of one batch yet, nor of the attempts that are under way
(WORKER_ENDPOINT_CONCURRENCY)."""


async def killed(folder: Path, events: int, kills: int) -> dict[str, Any]:
    """`events` are delivered, then all are replayed; `holds` says whether nothing is missing or too often there."""
    async with AsyncExitStack() as stack:
        stage = await Stage.opened(stack, folder)
        await _deliver(stage, events)
        began = time.monotonic()
        await _replay(stage, events, kills)
        job = await eventually(
            stage.newest_replay, lambda found: found["ended_at"] is not None, LONG_SECONDS, "the replay to end"
        )
        with suppress(AssertionError):  # said by what is missing
            await _replayed(stage, events)
        return _found(stage, events, kills, job) | {"seconds": round(time.monotonic() - began, 1)}


async def _deliver(stage: Stage, events: int) -> None:
    async with await Amqp.connect(stage.broker.uri) as amqp:
        for first in range(0, events, 1000):
            await stage.publish(amqp, first, min(first + 1000, events))
    (worker,) = stage.workers
    await worker.wait_metric("deliveries_total", events, timeout=LONG_SECONDS, outcome="Delivered")
    rows = await worker.metric("history_rows_total")
    await worker.wait_metric("history_rows_written_total", rows, timeout=LONG_SECONDS)


async def _replay(stage: Stage, events: int, kills: int) -> None:
    """A command that is killed; then the worker that goes on, which is killed too, and started again."""
    (worker,) = stage.workers
    command = Worker(stage.settings, ("replay", "acme", "--since", "1d", "--all", "--json"))
    await command.start(ready=False)
    for kill in range(1, kills + 1):
        await _replayed(stage, events * kill // (kills + 1))
        victim = command if kill == 1 else worker
        await victim.kill()
        if victim is worker:
            await worker.start()
    if kills == 0:
        await command.wait(LONG_SECONDS)


async def _replayed(stage: Stage, count: int) -> None:
    async def total() -> int:
        return stage.receiver.replayed.total()

    await eventually(total, lambda got: got >= count, SECONDS, f"{count} replayed")


def _found(stage: Stage, events: int, kills: int, job: dict[str, Any]) -> dict[str, Any]:
    receiver = stage.receiver
    twice = sum(count - 1 for count in receiver.replayed.values())
    missing = events - len(receiver.replayed)
    return {
        "events": events,
        "kills": kills,
        "missing": missing,
        "twice": twice,
        "unknown": len(receiver.replayed.keys() - receiver.first.keys()),
        "state": job["state"],
        "sent": job["sent"],
        "holds": missing == 0 and twice <= IN_FLIGHT * kills and job["state"] == "done",
    }

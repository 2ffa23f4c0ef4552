"""One seed, from an empty broker to a verdict."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.chaos.ledger import Figures
from tests.proof.chaos.plan import Plan, Step
from tests.proof.chaos.world import World, world
from tests.support.local_broker import LocalBroker
from tests.support.postgres import Postgres

FAULT_SECONDS = 150.0
"""The end of a replay is waited for: a resume ends two lives of the caches and half a minute later."""
LEAST_EVENTS = 200
"""Published before the last fault has healed, at the least: a run of short faults waits for them."""


@dataclass(slots=True)
class Report:
    """What a run came to. `missed` are faults that did not come about (an armed point that was not reached).

    `outside` counts the problems that no ledger shows; `attempts_in_history` shows that there was one.
    """

    plan: Plan
    figures: Figures = field(default_factory=Figures)
    problems: list[str] = field(default_factory=list)
    outside: int = 0
    missed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    attempts_in_history: int = 0


async def run(plan: Plan, broker: LocalBroker, postgres: Postgres | None) -> Report:
    """Raises only what is the harness's own fault."""
    report = Report(plan)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="webhooks-chaos-") as folder:
        async with world(plan, broker, postgres, Path(folder)) as made:
            for step in plan.steps:
                await _apply(step, made, report)
            await _enough_events(made)
            await _judge(made, report)
    report.seconds = time.monotonic() - began
    return report


async def _apply(step: Step, made: World, report: Report) -> None:
    await asyncio.sleep(step.pause)
    try:
        async with asyncio.timeout(FAULT_SECONDS):
            await step.fault.run(made, random.Random(step.seed))
    except (AssertionError, TimeoutError) as error:
        report.missed[step.fault.name] = str(error)[-2000:] or type(error).__name__
    for replica in made.replicas:
        if not replica.worker.running:
            made.problems.append(f"a worker ended by itself during or after `{step.fault.name}`")
            await replica.start(ready=False)
    await made.history_flows()


async def _enough_events(made: World) -> None:
    await made.wait_for_posts(lambda: len(made.ledger.issued) >= LEAST_EVENTS, "too few events", 30)


async def _judge(made: World, report: Report) -> None:
    await made.producer.pause()
    if not await made.settled():
        report.problems.append(f"the queues were not empty in time: {await made.what_is_left()}")
    await made.stop_workers()
    made.complain()
    await made.collect_letters()
    await made.collect_history()
    report.problems += made.problems
    report.outside = len(report.problems)
    report.problems += made.ledger.problems()
    report.figures = made.ledger.figures()
    report.attempts_in_history = made.ledger.history.attempts.total() if made.ledger.history else 0
    if report.problems:
        report.problems.append(f"what the workers wrote is in {made.keep_logs()}")

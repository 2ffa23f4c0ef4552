"""One soak, from an empty broker to a verdict."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.chaos.ledger import Figures
from tests.proof.chaos.plan import Plan
from tests.proof.chaos.producer import Flow
from tests.proof.chaos.subscriptions import SOME, Subscription, flaky, refuses_some
from tests.proof.chaos.world import Scale, World, world
from tests.proof.soak.disturbances import DISTURBANCES
from tests.proof.soak.verdict import Sample
from tests.support.local_broker import LocalBroker

BEAT_SECONDS = 0.05

CAST = (
    *(Subscription(f"plain {n}", f"/plain-{n}") for n in range(20)),
    *(Subscription(f"events-{n}", f"/events-{n}", by_events=True, kinds=SOME) for n in range(4)),
    Subscription("two", "/two/main"),
    Subscription("two", "/two/audit", id="audit", by_events=True, kinds=frozenset({"messages.upsert"})),
    Subscription("slow", "/slow", kinds=SOME),
    Subscription("flaky", "/flaky", flaky),
    Subscription("refuses", "/refuses", refuses_some, by_events=True),
    Subscription("off", "/off", enabled=False),
)
"""Nobody who is down for good: what is parked for him would make the load uneven."""

INSTANCES = (*dict.fromkeys(one.instance for one in CAST), "without")


@dataclass(frozen=True, slots=True)
class Load:
    """`rate` events a second for `seconds`, a disturbance every `every`, a sample every `sample` seconds.

    Longer, if there were less than `least` disturbances by then.
    """

    seconds: float = 600.0
    rate: int = 100
    every: float = 15.0
    sample: float = 1.0
    seed: int = 0
    least: int = 0

    @property
    def scale(self) -> Scale:
        batch = max(1, round(self.rate * BEAT_SECONDS))
        return Scale(CAST, 1, Flow(batch / self.rate, batch, int(self.rate * max(60.0, self.seconds)), INSTANCES))


@dataclass(slots=True)
class Report:
    """What a soak came to. `reconnects` are connections to RabbitMQ that the worker made anew."""

    load: Load
    samples: list[Sample] = field(default_factory=list)
    disturbances: Counter[str] = field(default_factory=Counter)
    reconnects: int = 0
    figures: Figures = field(default_factory=Figures)
    problems: list[str] = field(default_factory=list)


async def run(load: Load, broker: LocalBroker) -> Report:
    """Raises AssertionError when the worker does not come back from a disturbance."""
    report = Report(load)
    with tempfile.TemporaryDirectory(prefix="webhooks-soak-") as folder:
        async with world(Plan(load.seed, ()), broker, None, Path(folder), load.scale) as made:
            await _under_load(made, report)
            report.reconnects = int(await made.replicas[0].worker.metric("broker_reconnects_total"))
            await _judge(made, report)
    return report


async def _under_load(made: World, report: Report) -> None:
    sampling = asyncio.create_task(_sample(made, report))
    try:
        await _disturb(made, report)
        if sampling.done():
            sampling.result()
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)


async def _disturb(made: World, report: Report) -> None:
    loop, chance = asyncio.get_running_loop(), random.Random(report.load.seed)
    end = loop.time() + report.load.seconds
    for name in _rounds(chance):
        enough = report.disturbances.total() >= report.load.least
        rest = end - loop.time() if enough else report.load.every
        await asyncio.sleep(min(report.load.every, max(0.0, rest)))
        if enough and loop.time() >= end:
            return
        await DISTURBANCES[name](made, chance)
        report.disturbances[name] += 1


def _rounds(chance: random.Random) -> Iterator[str]:
    """Without end; each round has all of them, in an order of its own."""
    while True:
        yield from chance.sample(list(DISTURBANCES), len(DISTURBANCES))


async def _sample(made: World, report: Report) -> None:
    while True:
        found = await made.replicas[0].worker.metrics()
        report.samples.append(
            Sample(
                found["process_resident_memory_bytes"],
                found["webhook_worker_event_loop_tasks"],
                found["process_open_fds"],
                made.receiver.connections,
            )
        )
        await asyncio.sleep(report.load.sample)


async def _judge(made: World, report: Report) -> None:
    await made.producer.pause()
    if not await made.settled():
        report.problems.append(f"the queues were not empty in time: {await made.what_is_left()}")
    await made.stop_workers()
    made.complain()
    await made.collect_letters()
    report.problems += made.problems + made.ledger.problems()
    report.figures = made.ledger.figures()

"""A rolling update under load: is anything lost, repeated that was finished, or held up?

    make rolling                                         # ten updates of both replicas, about a minute
    .venv/bin/python -m tests.proof.chaos.rolling --updates 3

Each update starts a replacement, waits until it is ready, sends SIGTERM to the worker that it replaces and waits for
its end; then the other one. Meanwhile events are published with confirms at a steady rate. Exit codes: 0 all kept,
1 a violation, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Self

from tests.proof.chaos.ledger import MOST_SHOWN, Figures, Post
from tests.proof.chaos.plan import Plan
from tests.proof.chaos.world import World, world
from tests.support.local_broker import LocalBroker
from tests.support.receiver import Answer

UPDATES = 10
EVENTS_A_SECOND = 100
LATE_SECONDS = 30.0
"""From a publish to its first POST. Usual are milliseconds, on a machine that is busy otherwise a few seconds; a busy
lane may park what comes to it for five. More is a fault."""

DRAIN_SECONDS = LATE_SECONDS + 10
"""What a replaced worker keeps to itself until its drain ends is late beyond doubt."""

INSTANCES = ("plain 0", "events-0", "two", "slow", "plain 1", "flaky", "events-1", "plain 2")
"""Receivers that answer, one of them late, one of them only after a retry."""


def fails_first(number: int, before: int) -> Answer:
    """One of three events is retried: there is always something in a delay queue."""
    return Answer(500) if number % 3 == 0 and not before else Answer()


@dataclass(slots=True)
class Report:
    """What it came to. `latest` and `usual` (median): seconds from a publish to the first arrival of its POST."""

    updates: int
    figures: Figures = field(default_factory=Figures)
    latest: float = 0.0
    usual: float = 0.0
    slowest_end: float = 0.0
    problems: list[str] = field(default_factory=list)

    def judge(self) -> None:
        """Adds to the problems what the ledger bears and a rolling update may not bring."""
        if self.latest >= LATE_SECONDS:
            self.problems.append(f"late: an event arrived {self.latest:.1f} s after its publish")
        if self.figures.repeats:
            self.problems.append(f"repeated: {self.figures.repeats} finished deliveries came again")
        if self.figures.unconfirmed:
            self.problems.append(f"unconfirmed: {self.figures.unconfirmed} publishes")

    def lines(self) -> list[str]:
        figures = self.figures
        return [
            f"{self.updates} updates of two replicas, {figures.events} events confirmed, {figures.delivered} of "
            f"{figures.deliveries - figures.skipped} deliveries delivered, {figures.posts} POSTs, "
            f"{figures.repeats} repeats of what was finished",
            f"publish to arrival: median {1000 * self.usual:.0f} ms, latest {1000 * self.latest:.0f} ms "
            f"(late: {LATE_SECONDS:g} s); SIGTERM to exit: at most {self.slowest_end:.1f} s",
            *(f"VIOLATED: {problem}" for problem in self.problems),
        ]


class Load:
    """`async with`: events at a steady rate, each confirmed, to all INSTANCES in turn; when each was published."""

    def __init__(self, made: World) -> None:
        self.published: dict[int, float] = {}
        self._made = made
        self._over = False
        self._flow: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._flow = asyncio.create_task(self._publish_steadily())
        return self

    async def __aexit__(self, *_: object) -> None:
        """After the confirm that is under way."""
        assert self._flow is not None
        self._over = True
        await self._flow

    async def _publish_steadily(self) -> None:
        due = time.monotonic()
        for instance in cycle(INSTANCES):
            if self._over:
                return
            await self._publish(instance)
            due += 1 / EVENTS_A_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _publish(self, instance: str) -> None:
        began = time.monotonic()
        issued = await self._made.producer.publish(instance, "messages.upsert")
        self.published[issued.number] = began

    def arrivals(self) -> list[tuple[float, Post]]:
        """The first POST of each event at each of its receivers, and how many seconds after its publish it came;
        the latest last."""
        first: dict[tuple[str, int], tuple[float, Post]] = {}
        for post in self._made.ledger.posts:
            if post.number in self.published:
                late = post.at - self.published[post.number]
                first.setdefault((post.path, post.number), (late, post))
        return sorted(first.values(), key=lambda one: one[0])


async def roll(updates: int, broker: LocalBroker) -> Report:
    """Raises only what is the harness's own fault."""
    report = Report(updates)
    with tempfile.TemporaryDirectory(prefix="webhooks-rolling-") as folder:
        drain = {"WORKER_DRAIN_SECONDS": str(DRAIN_SECONDS)}
        async with world(Plan(0, ()), broker, None, Path(folder), flowing=False, **drain) as made:
            made.receiver.behaviours["/flaky"] = fails_first
            load = Load(made)
            log: list[str] = []
            try:
                async with load:
                    await _enough(made, EVENTS_A_SECOND)
                    for _ in range(updates):
                        log += await _update(made, report)
                        await _enough(made, EVENTS_A_SECOND // 2)
                await _judge(made, load, log, report)
            finally:
                await asyncio.gather(*(replica.worker.kill() for replica in made.replicas))
    return report


async def _update(made: World, report: Report) -> list[str]:
    """Returns what the replaced workers have logged."""
    log: list[str] = []
    for number, old in enumerate(made.replicas):
        replacement = made.replicas[number] = old.replacement()
        try:
            await replacement.start()
            began = time.monotonic()
            if code := await old.end():
                made.problems.append(f"exit code after SIGTERM: {code}")
        finally:
            await old.worker.kill()
        report.slowest_end = max(report.slowest_end, time.monotonic() - began)
        made.problems += [f"worker's log: {line[:1000]}" for line in old.complaints()]
        log += old.worker.lines
    return log


async def _enough(made: World, more: int) -> None:
    """Until so many more events are confirmed: every update meets a flow that has settled."""
    wanted = len(made.ledger.confirmed) + more
    await made.wait_for_posts(lambda: len(made.ledger.confirmed) >= wanted, "the load has stopped", 30)


async def _judge(made: World, load: Load, log: Sequence[str], report: Report) -> None:
    """`log`: of the workers that have been replaced."""
    if not await made.settled():
        report.problems.append("the queues were not empty in time")
    await made.stop_workers()
    made.complain()
    log = [*log, *(line for replica in made.replicas for line in replica.worker.lines)]
    await made.collect_letters()
    report.figures = made.ledger.figures()
    report.problems += made.problems + made.ledger.problems()
    arrivals = load.arrivals()
    report.usual, report.latest = arrivals[len(arrivals) // 2][0], arrivals[-1][0]
    report.judge()
    late = [post for seconds, post in arrivals if seconds >= LATE_SECONDS]
    for post in late[-MOST_SHOWN:]:
        said = [line for line in log if post.id and post.id in line]
        report.problems.append(f"late: event {post.number} at {post.path}; what the workers say of it: {said}")


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(handlers=[logging.NullHandler()])
    parser = argparse.ArgumentParser(prog="tests.proof.chaos.rolling", description="Rolling updates under load.")
    parser.add_argument("--updates", type=int, default=UPDATES, help=f"of both replicas ({UPDATES})")
    try:
        with LocalBroker() as broker:
            report = asyncio.run(roll(parser.parse_args().updates, broker))
    except KeyboardInterrupt:
        return 130
    print("\n".join(report.lines()))
    return int(bool(report.problems))


if __name__ == "__main__":
    sys.exit(main())

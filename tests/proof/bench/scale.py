"""How cost and start depend on the number of instances."""

import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.proof.bench.ledger import LedgerError, wait_for
from tests.proof.bench.process import Process
from tests.proof.bench.rig import PREFETCH, Rig, verdict
from tests.proof.bench.sampling import Posts, event, spread

FEW, MOST_COST = 10, 1.05
"""Ten thousand instances may cost so many times what ten do."""

TURNS = 4
"""Of each number of instances in a round, two of them from few to many and two back. A turn takes a second, as a shared
machine is another one a minute later: of workers that ran one after the other, single rounds had 0.6 to 1.5."""

TURN_LIMIT = 60.0
"""Seconds."""


class _Turn(NamedTuple):
    """Deliveries a second, CPU microseconds a delivery."""

    rate: float
    cpu: float


@dataclass(frozen=True, slots=True)
class _Worker:
    """One that runs all the while, and has something to do in its turns alone; queues and webhooks are its own."""

    rig: Rig
    process: Process
    instances: int
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def turn(self, count: int) -> _Turn:
        """It finds `count` events at once: it stands still while they are published. Raises LedgerError."""
        self.process.stand_still()
        self.rig.queues.publish(self.rig.events_queue, map(self._event, itertools.islice(self.numbers, count)))
        # At least: its last acks of the turn before may still be on their way, and take their part of the prefetch.
        self.rig.queues.wait_depth(self.rig.events_queue, count - PREFETCH, more=True)
        posts, cpu, began = Posts(self.rig.nginx), self.process.cpu_seconds, time.monotonic()
        self.process.go_on()
        wait_for(posts.count, count, "deliveries", self.process, TURN_LIMIT, interval=0.005)
        turn = _Turn(count / (time.monotonic() - began), (self.process.cpu_seconds - cpu) / count * 1e6)
        posts.check(count)
        return turn

    def _event(self, number: int) -> bytes:
        return event(f"bench-{number % self.instances}", 800, number)


def instances(rig: Rig, *, rounds: int, count: int, most: int) -> Iterator[str]:
    """The same number of events from ever more instances (1, 10, 1,000, `most`) that share one receiver host.

    A worker for each, in turns; each instance was looked up before. Ten instances may make as many attempts at once as
    ten thousand can: what that costs is no matter of their number.
    """
    with ExitStack() as stack:
        workers = {step: stack.enter_context(_worker(rig, step)) for step in (1, FEW, 1_000, most)}
        for worker in workers.values():
            worker.turn(max(worker.instances, count // 2, PREFETCH))  # looks up each; not counted
        found = [_round(workers, count // 2) for _ in range(rounds)]
        yield f"{rounds} rounds of {TURNS} turns of {count // 2} events each\n"
        yield (
            "| instances | deliveries/s | CPU us a delivery (min-max) | cost: 10 instances = 1, median of the rounds "
            f"(min-max); {MOST_COST} at most | peak MiB |"
        )
        yield "| --- | --- | --- | --- | --- |"
        for step, worker in workers.items():
            times = [one[step].cpu / one[FEW].cpu for one in found]
            judged = f" {verdict(statistics.median(times) <= MOST_COST)}" if step > FEW else ""
            yield (
                f"| {step} | {statistics.median(one[step].rate for one in found):.0f} "
                f"| {spread([one[step].cpu for one in found])} | {spread(times, 2)}{judged} "
                f"| {worker.process.peak_mib:.0f} |"
            )


def _round(workers: Mapping[int, _Worker], count: int) -> dict[int, _Turn]:
    """The means of TURNS turns each, of `count` events."""
    turns: dict[int, list[_Turn]] = {step: [] for step in workers}
    for number in range(TURNS):
        for step in list(workers)[:: 1 if number % 2 else -1]:
            turns[step].append(workers[step].turn(count))
    return {step: _Turn(*map(statistics.fmean, zip(*own, strict=True))) for step, own in turns.items()}


@contextmanager
def _worker(rig: Rig, instances: int) -> Iterator[_Worker]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own = Rig(rig.broker, rig.nginx, rig.queues, Path(folder))
        own.prepare()
        own.set_instances(instances)
        settings = {"WORKER_ENDPOINT_CONCURRENCY": str(PREFETCH // 10), "CACHE_TTL_SECONDS": "3600"}
        with own.worker(**settings) as process:
            process.wait_consuming()
            yield _Worker(own, process, instances)
        own.check_left()
        own.queues.delete(*own.worker_queues)


def start(rig: Rig, *, rounds: int) -> Iterator[str]:
    """From process start to the first POST, queues declared before and an event waiting."""
    rig.set_instances(10)
    seconds = []
    for number in range(rounds):
        rig.fill(rig.events_queue, [event("bench-0", 800, number)])
        posts = Posts(rig.nginx)
        with rig.worker() as worker:
            while posts.count() < 1:
                worker.check_running()
                if time.monotonic() - worker.started > 30:
                    raise LedgerError("no POST within 30 s")
                time.sleep(0.005)
            seconds.append(time.monotonic() - worker.started)
        posts.check(1)
        rig.check_left()
    yield f"From process start to the first POST: **{statistics.median(seconds):.2f} s** " + (
        f"({min(seconds):.2f}-{max(seconds):.2f}, {rounds} rounds)."
    )

"""How cost and start depend on the number of instances."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass(slots=True)
class _Worker:
    """One that runs all the while, and has something to do in its turns alone; queues and webhooks are its own.

    `cpu` in microseconds a delivery and `rates` in deliveries a second have one figure for each round.
    """

    rig: Rig
    process: Process
    instances: int
    number: int = 0
    cpu: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def begin_round(self) -> None:
        self.cpu.append(0.0)
        self.rates.append(0.0)

    def turn(self, count: int) -> None:
        """It finds `count` events at once: it stands still while they are published. Raises LedgerError."""
        self.process.stand_still()
        self.rig.queues.publish(self.rig.events_queue, self._events(count))
        # At least: its last acks of the turn before may still be on their way, and take their part of the prefetch.
        self.rig.queues.wait_depth(self.rig.events_queue, count - PREFETCH, more=True)
        posts, cpu, began = Posts(self.rig.nginx), self.process.cpu_seconds, time.monotonic()
        self.process.go_on()
        wait_for(posts.count, count, "deliveries", self.process, TURN_LIMIT, interval=0.005)
        self.rates[-1] += count / (time.monotonic() - began) / TURNS
        self.cpu[-1] += (self.process.cpu_seconds - cpu) / count * 1e6 / TURNS
        posts.check(count)

    def _events(self, count: int) -> Iterator[bytes]:
        for _ in range(count):
            self.number += 1
            yield event(f"bench-{self.number % self.instances}", 800, self.number)


def instances(rig: Rig, *, rounds: int, count: int, most: int) -> Iterator[str]:
    """The same number of events from ever more instances (1, 10, 1,000, `most`) that share one receiver host.

    A worker for each, in turns; each instance was looked up before. Ten instances may make as many attempts at once as
    ten thousand can: what that costs is no matter of their number.
    """
    with ExitStack() as stack:
        workers = {step: stack.enter_context(_worker(rig, step)) for step in (1, FEW, 1_000, most)}
        for worker in workers.values():
            _warm_up(worker, count)
        for _ in range(rounds):
            for worker in workers.values():
                worker.begin_round()
            for number in range(TURNS):
                for worker in list(workers.values())[:: 1 if number % 2 else -1]:
                    worker.turn(count // 2)
        yield f"{rounds} rounds of {TURNS} turns of {count // 2} events each\n"
        yield (
            "| instances | deliveries/s | CPU us a delivery (min-max) | cost: 10 instances = 1, median of the rounds "
            f"(min-max); {MOST_COST} at most | peak MiB |"
        )
        yield "| --- | --- | --- | --- | --- |"
        for step, worker in workers.items():
            times = [own / beside for own, beside in zip(worker.cpu, workers[FEW].cpu, strict=True)]
            judged = f" {verdict(statistics.median(times) <= MOST_COST)}" if step > FEW else ""
            yield (
                f"| {step} | {statistics.median(worker.rates):.0f} | {spread(worker.cpu)} | {spread(times, 2)}{judged} "
                f"| {worker.process.peak_mib:.0f} |"
            )


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


def _warm_up(worker: _Worker, count: int) -> None:
    """Looks up each instance; what it takes is not counted."""
    worker.begin_round()
    worker.turn(max(worker.instances, count // 2, PREFETCH))
    worker.cpu.clear()
    worker.rates.clear()


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

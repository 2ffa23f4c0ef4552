"""How cost, memory and start depend on the number of instances."""

import statistics
import time
from collections.abc import Iterator

from tests.bench.rig import Rig, event, measure, median

STEPS = (1, 10, 1_000, 10_000)


def instances(rig: Rig, *, rounds: int, count: int) -> Iterator[str]:
    """The same number of events from ever more instances that share one receiver host."""
    samples: dict[int, list] = {step: [] for step in STEPS}
    for _ in range(rounds):
        for step in STEPS:
            rig.set_instances(step)
            rig.fill(rig.events_queue, [event(f"bench-{number % step}", 800, number) for number in range(count)])
            with rig.worker() as worker:
                samples[step].append(measure(worker, rig.nginx, count))
    base = median(samples[10]).cpu
    yield "| instances | deliveries/s | CPU us a delivery | cost: 10 instances = 1 | peak MiB | first POST after s |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for step in STEPS:
        middle = median(samples[step])
        yield (
            f"| {step} | {middle.rate:.0f} | {middle.cpu:.0f} | {middle.cpu / base:.2f} | {middle.memory:.0f} "
            f"| {middle.first:.2f} |"
        )


def start(rig: Rig, *, rounds: int) -> Iterator[str]:
    """From process start to the first POST, queues declared before and an event waiting."""
    rig.set_instances(10)
    seconds = []
    for number in range(rounds):
        rig.fill(rig.events_queue, [event("bench-0", 800, number)])
        before = rig.nginx.requests()
        with rig.worker() as worker:
            asked = 0
            while rig.nginx.requests() - before - (asked := asked + 1) < 1:
                time.sleep(0.005)
            seconds.append(time.monotonic() - worker.started)
    yield f"From process start to the first POST: **{statistics.median(seconds):.2f} s** " + (
        f"({min(seconds):.2f}-{max(seconds):.2f}, {rounds} rounds)."
    )


def memory(rig: Rig) -> Iterator[str]:
    """Idle, after the start and nothing else."""
    rig.set_instances(10)
    with rig.worker() as worker:
        worker.wait_consuming()
        time.sleep(1.0)  # a figure is read, no fact is waited for
        idle = worker.rss_mib
    yield f"Idle: **{idle:.0f} MiB** resident."

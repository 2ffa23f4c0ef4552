"""How cost and start depend on the number of instances."""

import statistics
import time
from collections.abc import Iterator

from tests.proof.bench.ledger import LedgerError
from tests.proof.bench.rig import PREFETCH, Rig
from tests.proof.bench.sampling import Posts, Sample, event, measure, median, spread


def instances(rig: Rig, *, rounds: int, count: int, most: int) -> Iterator[str]:
    """The same number of events from ever more instances (1, 10, 1,000, `most`) that share one receiver host.

    Behind one event of each instance, which has its webhooks looked up and is not counted. Ten instances may make as
    many attempts at once as ten thousand can: what that costs is no matter of their number.
    """
    samples: dict[int, list[Sample]] = {step: [] for step in (1, 10, 1_000, most)}
    for _ in range(rounds):
        for step, found in samples.items():
            rig.set_instances(step)
            total = step + count
            rig.fill(rig.events_queue, (event(f"bench-{number % step}", 800, number) for number in range(total)))
            posts = Posts(rig.nginx)
            with rig.worker(WORKER_ENDPOINT_CONCURRENCY=str(PREFETCH // 10)) as worker:
                found.append(measure(worker, posts, total, warm_up=step + count // 10))
            posts.check(total)
            rig.check_left()
    yield (
        "| instances | deliveries/s | CPU us a delivery (min-max) | cost: 10 instances = 1, median of the rounds "
        "(min-max) | peak MiB | first POST after s |"
    )
    yield "| --- | --- | --- | --- | --- | --- |"
    for step, found in samples.items():
        middle = median(found)
        times = [sample.cpu / beside.cpu for sample, beside in zip(found, samples[10], strict=True)]
        yield (
            f"| {step} | {middle.rate:.0f} | {spread([sample.cpu for sample in found])} | {spread(times, 2)} "
            f"| {middle.memory:.0f} | {middle.first:.2f} |"
        )


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

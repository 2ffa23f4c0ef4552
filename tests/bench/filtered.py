"""The cheapest path: events that no webhook wants."""

import statistics
import time
from collections.abc import Iterator

from tests.bench.rig import Process, Rig, event

NAME = "webhook_worker_deliveries_total"


def filtered(rig: Rig, *, rounds: int, count: int) -> Iterator[str]:
    """Events of a kind that the instances' webhooks did not ask for."""
    rig.set_instances(10)
    bodies = [event(f"bench-{number % 10}", 800, number, "presence.update") for number in range(count)]
    rates, costs = [], []
    for _ in range(rounds):
        rig.fill(rig.events_queue, bodies)
        with rig.worker() as worker:
            rate, cost = _measure(rig, worker, count)
        rates.append(rate)
        costs.append(cost)
    yield f"{count} events a round, {rounds} rounds: **{statistics.median(rates):.0f} events/s** " + (
        f"({min(rates):.0f}-{max(rates):.0f}), {statistics.median(costs):.0f} us of CPU an event."
    )


def _measure(rig: Rig, worker: Process, count: int) -> tuple[float, float]:
    """Between the first tenth and the last event that left the queue."""
    first = None
    while True:
        left = rig.depth(rig.events_queue)
        now = (time.monotonic(), worker.cpu_seconds, count - left)
        if first is None and now[2] >= count / 10:
            first = now
        if first is not None and left == 0:
            done = now[2] - first[2]
            return done / (now[0] - first[0]), (now[1] - first[1]) / done * 1e6
        time.sleep(0.02)

"""The cheapest path: events that no webhook wants."""

import time
from collections.abc import Iterator

from tests.proof.bench.ledger import LedgerError
from tests.proof.bench.process import Process
from tests.proof.bench.rig import Rig
from tests.proof.bench.sampling import Posts, event, spread

SKIPPED = 'webhook_worker_deliveries_total{outcome="Skipped",reason="event_not_enabled"}'
LIMIT = 120.0
"""Seconds for one round on any machine."""


def filtered(rig: Rig, *, rounds: int, count: int) -> Iterator[str]:
    """Events of a kind that the instances' webhooks did not ask for."""
    rig.set_instances(10)
    bodies = [event(f"bench-{number % 10}", 800, number, "presence.update") for number in range(count)]
    rates, costs = [], []
    for _ in range(rounds):
        rate, cost = left_unsent(rig, bodies, SKIPPED)
        rates.append(rate)
        costs.append(cost)
    yield f"{count} events a round, {rounds} rounds: **{spread(rates)} events/s**, {spread(costs)} us of CPU an event."


def left_unsent(rig: Rig, bodies: list[bytes], skipped: str) -> tuple[float, float]:
    """Events a second, and CPU microseconds an event, of events that are all counted by the metric `skipped`."""
    rig.fill(rig.events_queue, bodies)
    posts = Posts(rig.nginx)
    with rig.worker() as worker:
        found = _measure(rig, worker, len(bodies))
        _wait_skipped(rig, worker, len(bodies), skipped)
    posts.check(0)
    rig.check_left()
    return found


def _wait_skipped(rig: Rig, worker: Process, count: int, skipped: str) -> None:
    """The last ones have left the queue and may still be in the worker's hands: it says when it has skipped them."""
    while (seen := rig.metric(skipped)) < count:
        if time.monotonic() - worker.started > LIMIT:
            raise LedgerError(f"only {seen:.0f} of {count} events were skipped")
        time.sleep(0.02)


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
        if now[0] - worker.started > LIMIT:
            raise LedgerError(f"{left} of {count} events are still in the queue after {LIMIT:.0f} s")
        worker.check_running()
        time.sleep(0.02)

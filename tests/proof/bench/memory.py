"""Resident memory: idle, for attempts in flight, for known instances."""

import time
from collections.abc import Iterator
from statistics import median

from tests.proof.bench.ledger import LedgerError, Receiver, check
from tests.proof.bench.process import Process
from tests.proof.bench.rig import Rig
from tests.proof.bench.sampling import event, spread

PACE = 2_000.0
"""Events a second while memory is filled: nothing queues up in the worker."""

HOLD_MS = 60_000
"""So slow is the receiver that holds attempts."""


def memory(rig: Rig, *, rounds: int, held: int, instances: int) -> Iterator[str]:
    """`held` attempts at once to as many instances; `instances` instances with one event each."""
    idle, flight, known = [], [], []
    with Receiver() as receiver:
        for _ in range(rounds):
            idle.append(_idle(rig))
            flight.append(_in_flight(rig, receiver, held))
            known.append(_known(rig, receiver, instances))
    yield f"{rounds} rounds, median (min-max), MiB resident\n"
    yield "| idle | per 1,000 attempts in flight (0.8 KB events) | per 10,000 instances with one webhook each |"
    yield "| --- | --- | --- |"
    yield (
        f"| {spread(idle, 1)} | {spread([mib / held * 1_000 for mib in flight], 1)} "
        f"| {spread([mib / instances * 10_000 for mib in known], 1)} |"
    )


def _idle(rig: Rig) -> float:
    rig.set_instances(10)
    with rig.worker() as worker:
        worker.wait_consuming()
        return _settled_rss(worker)


def _in_flight(rig: Rig, receiver: Receiver, held: int) -> float:
    """Each instance has one attempt that hangs, after one that did not: cache, lanes and code are warm by then."""
    rig.purge()
    urls = {f"bench-{number}": receiver.url("ok", number) for number in range(held)}
    held_urls = {f"bench-{number}": receiver.url(f"wait-{HOLD_MS}", number) for number in range(held)}
    # Lanes that are new or slow get half of the places, slow ones three quarters of that half.
    settings = {"WORKER_CONCURRENCY": str(held * 4), "WORKER_DRAIN_SECONDS": "0", "CACHE_TTL_SECONDS": "1"}
    rig.set_webhooks(urls)
    with rig.worker(WEBHOOK_REQUEST_TIMEOUT_MS="120000", **settings) as worker:
        _publish(rig, receiver, worker, held, held)
        before = _settled_rss(worker)
        rig.set_webhooks(held_urls)
        time.sleep(1.5)  # the cache's time to live: the change is made behind the worker's back
        _publish(rig, receiver, worker, held, held)
        if (seen := rig.metric("webhook_worker_in_flight")) != held:
            raise LedgerError(f"{seen:.0f} attempts in flight instead of {held}")
        return _settled_rss(worker) - before


def _known(rig: Rig, receiver: Receiver, instances: int) -> float:
    """After as many events of one instance: what they leave behind by themselves does not count."""
    rig.purge()
    rig.set_webhooks({f"bench-{number}": receiver.url("ok", number) for number in range(instances)})
    with rig.worker() as worker:
        _publish(rig, receiver, worker, instances, 1)
        before = _settled_rss(worker)
        _publish(rig, receiver, worker, instances, instances)
        return _settled_rss(worker) - before


def _publish(rig: Rig, receiver: Receiver, worker: Process, count: int, instances: int) -> None:
    """`count` events to `instances` instances, one after another; returns when all have arrived."""
    worker.wait_consuming()

    def make(number: int, sent: float) -> bytes:
        return event(f"bench-{number % instances}", 800, number, sent=sent)

    rig.queues.pace(rig.exchange, "messages.upsert", make, rate=PACE, until=lambda number: number >= count)
    receiver.wait_for(count, worker)
    check(receiver.noted(), range(count), lambda number: number % instances)


def _settled_rss(worker: Process) -> float:
    """The median of a second's readings: no fact is waited for."""
    readings = []
    for _ in range(10):
        time.sleep(0.1)
        readings.append(worker.rss_mib)
    return median(readings)

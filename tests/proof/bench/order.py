"""Ordered against unordered webhooks: what order costs, how late it makes, and how long a takeover takes."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from statistics import median

from tests.proof.bench.ledger import Arrival, LedgerError, Receiver, check, percentile
from tests.proof.bench.order_isolation import order_isolation
from tests.proof.bench.ordering import (
    CHAT,
    CHATS,
    INSTANCES,
    NONE,
    ORDERS,
    in_order,
    ordered,
    said,
    worker_in_order,
)
from tests.proof.bench.process import SERVERS_CORE, CoreUse, Process, busy
from tests.proof.bench.rig import Rig, verdict
from tests.proof.bench.sampling import Posts, Sample, measure, spread

MOST_TIMES, LEAST_RATE, MOST_TAKEOVER = 1.3, 5000, 5.0
EARLIER = 2_000
"""Events that come first, and are not counted: connections, caches and lanes come to be."""

WARM_SECONDS = 1.0
TAKEOVER_PACE = 200
BEFORE, AFTER = 3.0, 12.0
"""Seconds of that pace before a kill, and after it."""


@dataclass(frozen=True, slots=True)
class Flood:
    """Deliveries a second, CPU us for each of them, how busy the servers' core was."""

    rate: float
    cpu: float
    servers: float


@dataclass(frozen=True, slots=True)
class Paced:
    """Latencies in ms, ascending."""

    latencies: list[float]


def order(rig: Rig, *, rounds: int, few_rounds: int, count: int, seconds: float) -> Iterator[str]:
    """`count` events a flood, `seconds` of each pace; in turns, and the isolation of dead receivers at the end."""
    floods: dict[str, list[Flood]] = {kind: [] for kind in ORDERS}
    with Receiver() as receiver:
        for _ in range(rounds):
            for kind, turns in floods.items():
                turns.append(_flood(rig, ORDERS[kind], count))
        yield f"{count:,} events of 0.8 KB at once, {CHATS} chats of {INSTANCES} instances, {rounds} rounds, one core\n"
        yield from _costs(floods)
        pace = 0.5 * median(turn.rate for turn in floods[CHAT])
        paced = {
            kind: [_paced(rig, receiver, ORDERS[kind], pace, seconds) for _ in range(few_rounds)] for kind in ORDERS
        }
        yield f"\n{pace:.0f} events a second, half of what it can do in order, open loop, {seconds:g} s a round:\n"
        yield from _latencies(paced)
        took = [_takeover(rig, receiver) for _ in range(few_rounds)]
        yield (
            f"\nkill -9 of the active one of two replicas, {TAKEOVER_PACE} events a second: nothing is delivered in "
            f"order for {spread(took, 1)} s, {MOST_TAKEOVER:g} at most: {verdict(max(took) <= MOST_TAKEOVER)}\n"
        )
    yield from order_isolation(rig, rounds=few_rounds, count=count, seconds=seconds)


def _flood(rig: Rig, kind: str | None, count: int) -> Flood:
    """All are published at once to a worker that is there, and delivered to nginx, as in `throughput`: takings of
    events that are for the other side count, too. That they come in order is seen at a pace, and in the floods beside
    dead receivers, where the receiver tells them apart."""
    urls = [rig.nginx.url(f"/ok/{number}") for number in range(INSTANCES)]
    with worker_in_order(rig, urls, kind) as worker:
        _deliver(rig, worker, range(EARLIER))
        cpu, servers = worker.cpu_seconds, CoreUse(SERVERS_CORE)
        sample = _deliver(rig, worker, range(EARLIER, EARLIER + count))
        used, share = worker.cpu_seconds - cpu, servers.share
    return Flood(sample.rate, used / count * 1e6, share)


def _deliver(rig: Rig, worker: Process, numbers: range) -> Sample:
    posts = Posts(rig.nginx)
    rig.queues.publish_to(rig.exchange, "messages.upsert", (said(number) for number in numbers))
    sample = measure(worker, posts, len(numbers))
    deadline = time.monotonic() + 30
    while rig.metric("webhook_worker_held_bytes") or rig.depth(rig.events_queue):
        if time.monotonic() > deadline:
            raise LedgerError("the worker still holds events that it has delivered")
        time.sleep(0.02)
    posts.check(len(numbers))
    return sample


def _paced(rig: Rig, receiver: Receiver, kind: str | None, pace: float, seconds: float) -> Paced:
    first, total = ceil(pace * WARM_SECONDS), ceil(pace * (WARM_SECONDS + seconds))
    with worker_in_order(rig, _urls(receiver), kind) as worker:
        rig.queues.pace(rig.exchange, "messages.upsert", said, rate=pace, until=lambda number: number >= total)
        receiver.wait_for(total, worker)
        arrivals = receiver.noted()
    _check(arrivals, range(total), kind)
    return Paced(sorted(arrival.latency_ms for arrival in arrivals if arrival.number >= first))


def _check(arrivals: list[Arrival], numbers: Iterable[int], kind: str | None) -> None:
    check(arrivals, numbers, lambda number: number % INSTANCES)
    if ordered(kind):
        in_order(arrivals)


def _takeover(rig: Rig, receiver: Receiver) -> float:
    """Seconds without a first arrival, from the kill on."""
    total = int(TAKEOVER_PACE * (BEFORE + AFTER))
    with worker_in_order(rig, _urls(receiver), "chat") as active, rig.worker(ORDER="true") as other:
        other.wait_consuming()
        killed: list[float] = []

        def until(number: int) -> bool:
            if not killed and number >= TAKEOVER_PACE * BEFORE:
                active.kill()
                killed.append(time.monotonic())
            return number >= total

        rig.queues.pace(rig.exchange, "messages.upsert", said, rate=TAKEOVER_PACE, until=until)
        arrivals = _all_first(receiver, total, other)
    check(arrivals, range(total), lambda number: number % INSTANCES)
    in_order(arrivals)
    after = [arrival.arrived for arrival in arrivals if arrival.arrived >= killed[0]]
    return max(later - earlier for earlier, later in zip([killed[0], *after], after, strict=False))


def _all_first(receiver: Receiver, total: int, worker: Process) -> list[Arrival]:
    """The first arrival of each event; what was under way at the kill comes again."""
    deadline, found = time.monotonic() + 60, dict[int, Arrival]()
    while len(found) < total:
        worker.check_running()
        if time.monotonic() > deadline:
            raise LedgerError(f"only {len(found)} of {total} events arrived after a kill")
        for arrival in receiver.noted():
            found.setdefault(arrival.number, arrival)
        time.sleep(0.05)
    return list(found.values())


def _urls(receiver: Receiver) -> list[str]:
    return [receiver.url("ok", number) for number in range(INSTANCES)]


def _costs(floods: dict[str, list[Flood]]) -> Iterator[str]:
    base = median(turn.cpu for turn in floods[NONE])
    yield "| order | deliveries/s (min-max) | CPU us a delivery (min-max) | no order = 1 | servers' core |"
    yield "| --- | --- | --- | --- | --- |"
    for kind, turns in floods.items():
        rates, times = [turn.rate for turn in turns], median(turn.cpu for turn in turns) / base
        cells = [spread(rates), spread([turn.cpu for turn in turns]), f"{times:.2f}"]
        if kind == CHAT:
            cells[0] += f" {verdict(median(rates) >= LEAST_RATE)} ({LEAST_RATE:,} at least)"
            cells[2] += f" {verdict(times <= MOST_TIMES)} ({MOST_TIMES} at most)"
        yield f"| {kind} | {' | '.join(cells)} | {busy(median(turn.servers for turn in turns))} |"


def _latencies(paced: dict[str, list[Paced]]) -> Iterator[str]:
    yield "| order | p50 ms | p99 ms |\n| --- | --- | --- |"
    for kind, turns in paced.items():
        figures = (spread([percentile(turn.latencies, share) for turn in turns], 1) for share in (50, 99))
        yield f"| {kind} | {' | '.join(figures)} |"

"""Ordered against unordered webhooks: what order costs, how late it makes, and how long a takeover takes."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil
from statistics import median

from tests.proof.bench.ledger import Arrival, LedgerError, Receiver, check, percentile, rate
from tests.proof.bench.ordering import (
    CHAT,
    CHATS,
    INSTANCES,
    NOBODY,
    NONE,
    ORDERS,
    active_worker,
    in_order,
    ordered,
    ordered_queue,
    queues_in_order,
    said,
    worker_in_order,
)
from tests.proof.bench.process import SERVERS_CORE, CoreUse, Process, busy
from tests.proof.bench.rig import Rig, verdict
from tests.proof.bench.sampling import WARM_SECONDS, Posts, measure, spread

MOST_TIMES, LEAST_RATE, MOST_TAKEOVER = 1.3, 5000, 5.0
EARLIER = 2_000
"""Events that come first, and are not counted: connections, caches and lanes come to be."""

TAKEOVER_PACE = 200
BEFORE, AFTER = 3.0, 12.0
"""Seconds of that pace before a kill, and after it."""


@dataclass(frozen=True, slots=True)
class Drained:
    """Deliveries a second, CPU us for each of them."""

    rate: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Flood:
    """The same, and how busy the servers' core was."""

    rate: float
    cpu: float
    servers: float


@dataclass(frozen=True, slots=True)
class Paced:
    """Latencies in ms, ascending; CPU us a delivery."""

    latencies: list[float]
    cpu: float


def order(rig: Rig, *, rounds: int, few_rounds: int, count: int, seconds: float) -> Iterator[str]:
    """Twice `count` events a backlog, `seconds` of each pace; in turns, and what dead receivers take at the end."""
    drained: dict[str, list[Drained]] = {kind: [] for kind in ORDERS}
    with Receiver() as receiver:
        for _ in range(rounds):
            for kind, turns in drained.items():
                turns.append(_drained(rig, ORDERS[kind], 2 * count))
        yield f"{2 * count:,} events of 0.8 KB, {CHATS} chats of {INSTANCES} instances, {rounds} rounds, one core\n"
        yield from _costs(drained)
        flooded = {kind: [_flood(rig, receiver, ORDERS[kind], count) for _ in range(few_rounds)] for kind in ORDERS}
        yield f"\n{count:,} at once, to a worker that is there:\n"
        yield from _flood_rows(flooded)
        pace = 0.5 * median(turn.rate for turn in flooded[CHAT])
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


def _drained(rig: Rig, kind: str | None, count: int) -> Drained:
    """A backlog, delivered to nginx, as in `throughput`. All that the worker takes from its start on counts, events
    that are for the other side too, less what one takes that finds nothing. That they come in order is seen in floods
    and at a pace, where the receiver tells them apart."""
    urls = [rig.nginx.url(f"/ok/{number}") for number in range(INSTANCES)]
    with queues_in_order(rig, urls, kind):
        with active_worker(rig, kind) as worker:
            worker.wait_idle()
            start = worker.cpu_seconds
        rig.queues.publish_to(rig.exchange, "messages.upsert", (said(number) for number in range(count)))
        for queue in (rig.events_queue, ordered_queue(rig))[: 1 if kind is None else 2]:
            rig.queues.wait_depth(queue, count)
        posts = Posts(rig.nginx)
        with rig.worker(ORDER="false" if kind is None else "true") as worker:
            sample = measure(worker, posts, count)
            worker.wait_idle()
            used = worker.cpu_seconds - start
        posts.check(count)
    return Drained(sample.rate, used / count * 1e6)


def _flood(rig: Rig, receiver: Receiver, kind: str | None, count: int) -> Flood:
    """All are published at once to a worker that is there: takings of events that are for the other side count, too."""
    with worker_in_order(rig, _urls(receiver), kind) as worker:
        _deliver(rig, receiver, worker, range(EARLIER))
        cpu, servers = worker.cpu_seconds, CoreUse(SERVERS_CORE)
        _deliver(rig, receiver, worker, range(EARLIER, EARLIER + count))
        used, share = worker.cpu_seconds - cpu, servers.share
        arrivals = receiver.noted()
    _check(arrivals, range(EARLIER + count), kind)
    return Flood(rate(arrivals[EARLIER:]), used / count * 1e6, share)


def _deliver(rig: Rig, receiver: Receiver, worker: Process, numbers: range) -> None:
    rig.queues.publish_to(rig.exchange, "messages.upsert", (said(number) for number in numbers))
    receiver.wait_for(numbers.stop, worker)
    deadline = time.monotonic() + 30
    while rig.metric("webhook_worker_held_bytes") or rig.depth(rig.events_queue):
        if time.monotonic() > deadline:
            raise LedgerError("the worker still holds events that it has delivered")
        time.sleep(0.02)


def _paced(rig: Rig, receiver: Receiver, kind: str | None, pace: float, seconds: float) -> Paced:
    first, total = ceil(pace * WARM_SECONDS), ceil(pace * (WARM_SECONDS + seconds))
    with worker_in_order(rig, _urls(receiver), kind) as worker:
        rig.broker.begin_new_log()
        worker.wait_idle()
        before = worker.cpu_seconds
        rig.queues.pace(rig.exchange, "messages.upsert", said, rate=pace, until=lambda number: number >= total)
        receiver.wait_for(total, worker)
        used = worker.cpu_seconds - before
        arrivals = receiver.noted()
    _check(arrivals, range(total), kind)
    late = sorted(arrival.latency_ms for arrival in arrivals if arrival.number >= first)
    return Paced(late, used / total * 1e6)


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


def _costs(drained: dict[str, list[Drained]]) -> Iterator[str]:
    """Judged against a worker without a second queue; against an unordered delivery of the same worker is beside it."""
    cpu = {kind: median(turn.cpu for turn in turns) for kind, turns in drained.items()}
    yield f"| order | deliveries/s (min-max) | CPU us a delivery (min-max) | {NONE} = 1 | {NOBODY} = 1 |"
    yield "| --- | --- | --- | --- | --- |"
    for kind, turns in drained.items():
        rates, times = [turn.rate for turn in turns], cpu[kind] / cpu[NONE]
        cells = [spread(rates), spread([turn.cpu for turn in turns]), f"{times:.2f}", f"{cpu[kind] / cpu[NOBODY]:.2f}"]
        if kind == CHAT:
            cells[0] += f" {verdict(median(rates) >= LEAST_RATE)} ({LEAST_RATE:,} at least)"
            cells[2] += f" {verdict(times <= MOST_TIMES)} ({MOST_TIMES} at most)"
        yield f"| {kind} | {' | '.join(cells)} |"


def _flood_rows(flooded: dict[str, list[Flood]]) -> Iterator[str]:
    """Not judged: what limits them is RabbitMQ's core, and messages come in smaller pieces."""
    base = median(turn.cpu for turn in flooded[NONE])
    yield "| order | deliveries/s (min-max) | CPU us a delivery (min-max) | no order = 1 | servers' core |"
    yield "| --- | --- | --- | --- | --- |"
    for kind, turns in flooded.items():
        rates, used = spread([turn.rate for turn in turns]), [turn.cpu for turn in turns]
        full = busy(median(turn.servers for turn in turns))
        yield f"| {kind} | {rates} | {spread(used)} | {median(used) / base:.2f} | {full} |"


def _latencies(paced: dict[str, list[Paced]]) -> Iterator[str]:
    base = median(turn.cpu for turn in paced[NONE])
    yield "| order | p50 ms | p99 ms | CPU us a delivery (min-max) | no order = 1 |\n| --- | --- | --- | --- | --- |"
    for kind, turns in paced.items():
        figures = [spread([percentile(turn.latencies, share) for turn in turns], 1) for share in (50, 99)]
        times = median(turn.cpu for turn in turns) / base
        judged = f" {verdict(times <= MOST_TIMES)} ({MOST_TIMES} at most)" if kind == CHAT else ""
        yield f"| {kind} | {' | '.join(figures)} | {spread([turn.cpu for turn in turns])} | {times:.2f}{judged} |"

"""From publish to the arrival at the receiver, at a steady pace that nothing slows down (an open loop)."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, inf
from statistics import median

from tests.proof.bench.ledger import Arrival, Receiver, check, percentile, rate
from tests.proof.bench.peers import BARE_LOOP, bare_loop
from tests.proof.bench.process import FULL, SERVERS_CORE, CoreUse, Process, busy
from tests.proof.bench.queues import LATE_SECONDS
from tests.proof.bench.rig import PEERS, Rig
from tests.proof.bench.sampling import KEPT_UP_MS, WARM_SECONDS, event, kept_up, spread
from tests.support.local_process import free_port

STEADY = 400.0
"""Events a second, at most, where receivers are slow: at 500 ms 200 are in flight, half of what a process holds."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row: `share` of what is kept up with, `most` events a second; every tenth endpoint is bad if `bad`."""

    name: str
    share: float
    instances: int = 100
    wait_ms: int = 0
    bad: bool = False
    most: float = inf
    peer: bool = False

    def url(self, receiver: Receiver, endpoint: int) -> str:
        if self.bad and self.is_bad(endpoint):
            kinds = (
                receiver.url("hang", endpoint),
                receiver.url("broken", endpoint),
                f"http://127.0.0.1:{free_port()}/",
            )
            return kinds[endpoint // 10 % 3]
        return receiver.url(f"wait-{self.wait_ms}" if self.wait_ms else "ok", endpoint)

    def is_bad(self, endpoint: int) -> bool:
        return self.bad and endpoint % 10 == 0


@dataclass(frozen=True, slots=True)
class Round:
    """Latencies in ms, ascending; the program's share of its core, and how busy the servers' core was with all that
    runs there; by how many seconds the publisher was late at worst."""

    latencies: list[float]
    cpu: float
    servers: float
    late: float


def cases(most_instances: int) -> list[Case]:
    return [
        Case("10 % of what is kept up with", 0.1),
        Case("50 %", 0.5),
        Case("80 %", 0.8),
        Case(f"50 %: {BARE_LOOP}", 0.5, instances=1, peer=True),
        *(Case(f"50 %, {count:,} instances", 0.5, instances=count) for count in (1, 10, 1_000, most_instances)),
        Case("receivers answer at once", 0.1, most=STEADY),
        Case("receivers answer after 50 ms", 0.1, wait_ms=50, most=STEADY),
        Case("receivers answer after 500 ms", 0.1, wait_ms=500, most=STEADY),
        Case("50 %, 10 % of the endpoints are bad", 0.5, bad=True),
    ]


def latency(rig: Rig, *, rounds: int, count: int, seconds: float, most_instances: int) -> Iterator[str]:
    """A table; `count` events are drained for a first guess of what is kept up with. Each row then runs for `seconds`
    in each round."""
    rows: dict[Case, list[Round]] = {case: [] for case in dict.fromkeys(cases(most_instances))}
    with Receiver() as receiver:
        maximum = _kept_up(rig, receiver, _drained(rig, receiver, count), seconds)
        for _ in range(rounds):
            for case, found in rows.items():
                found.append(_round(rig, receiver, case, min(case.share * maximum, case.most), seconds))
    yield (
        f"0.8 KB events to 100 instances unless the row says otherwise, {rounds} rounds of {seconds:g} s each, median "
        f"(min-max). Kept up with: {maximum:.0f} events/s; above it the core that RabbitMQ, publisher and "
        "receivers share is full, and the percentages are of that. Bad endpoints: a third each hang, answer 500, "
        "refuse connections; the latency is that of the others.\n"
    )
    yield from _table(rows, maximum)


def _kept_up(rig: Rig, receiver: Receiver, pace: float, seconds: float) -> float:
    """That pace, or the next lower one at which events arrive as they are published and the servers' core is not full:
    a full one says nothing of the worker."""

    def keeps_up(pace: float) -> bool:
        trial = _round(rig, receiver, Case("a trial", 1.0), pace, seconds / 2)
        return trial.servers <= FULL and percentile(trial.latencies, 99) <= KEPT_UP_MS

    return kept_up(pace, keeps_up)


def _drained(rig: Rig, receiver: Receiver, count: int) -> float:
    """Deliveries a second from a queue that is full, to the same receiver."""
    rig.set_webhooks({f"bench-{number}": receiver.url("ok", number) for number in range(100)})
    rig.fill(rig.events_queue, (event(f"bench-{number % 100}", 800, number) for number in range(count)))
    with rig.worker() as worker:
        receiver.wait_for(count, worker)
    rig.check_left()
    arrivals = receiver.noted()
    check(arrivals, range(count), lambda number: number % 100)
    return rate(arrivals)


def _round(rig: Rig, receiver: Receiver, case: Case, pace: float, seconds: float) -> Round:
    rig.purge()
    endpoints = range(case.instances)
    rig.set_webhooks({f"bench-{number}": case.url(receiver, number) for number in endpoints})
    first, total = ceil(pace * WARM_SECONDS), ceil(pace * (WARM_SECONDS + seconds))
    wanted = [number for number in range(total) if not case.is_bad(number % case.instances)]
    with _program(rig, receiver, case) as process:
        rig.queues.publish(PEERS if case.peer else rig.events_queue, [_event(case, 1, 0.0)])
        receiver.wait_for(1, process)
        receiver.noted()
        found = _paced(rig, receiver, case, process, pace, total, len(wanted))
    arrivals = receiver.noted()
    check(arrivals, wanted, lambda number: number % case.instances)
    rig.check_left(total - len(wanted))
    return Round(_latencies(arrivals, first), *found)


def _paced(
    rig: Rig, receiver: Receiver, case: Case, process: Process, pace: float, total: int, wanted: int
) -> tuple[float, float, float]:
    exchange, key = ("", PEERS) if case.peer else (rig.exchange, "messages.upsert")
    rig.broker.begin_new_log()
    servers, began, cpu = CoreUse(SERVERS_CORE), time.monotonic(), process.cpu_seconds
    late = rig.queues.pace(
        exchange, key, lambda number, sent: _event(case, number, sent), rate=pace, until=lambda number: number >= total
    )
    shares = (process.cpu_seconds - cpu) / (time.monotonic() - began), servers.share
    receiver.wait_for(wanted, process)
    return *shares, late


def _program(rig: Rig, receiver: Receiver, case: Case) -> Process:
    if case.peer:
        return rig.peer(bare_loop(rig.broker.uri, receiver.url("ok", 0)))
    return rig.worker(WEBHOOK_REQUEST_TIMEOUT_MS="5000")


def _event(case: Case, number: int, sent: float) -> bytes:
    return event(f"bench-{number % case.instances}", 800, number, sent=sent)


def _latencies(arrivals: list[Arrival], first: int) -> list[float]:
    return sorted(arrival.latency_ms for arrival in arrivals if arrival.number >= first)


def _table(rows: dict[Case, list[Round]], maximum: float) -> Iterator[str]:
    yield "| | events/s | p50 ms | p99 ms | p99.9 ms | CPU of the program | servers' core |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for case, rounds in rows.items():
        figures = [spread([percentile(one.latencies, p) for one in rounds], 1) for p in (50, 99, 99.9)]
        cpu, servers = median(one.cpu for one in rounds), median(one.servers for one in rounds)
        pace = min(case.share * maximum, case.most)
        yield f"| {case.name} | {pace:.0f} | {' | '.join(figures)} | {cpu:.0%} | {busy(servers)} |"
    late = max(one.late for rounds in rows.values() for one in rounds)
    if late > LATE_SECONDS:
        yield f"\nThe publisher was behind its pace by up to {late * 1000:.0f} ms: the servers' core was busy."

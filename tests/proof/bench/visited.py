"""What people at the console cost the deliveries: p99 at half load with and without them, in turns, in one process."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from math import ceil
from statistics import median

from tests.proof.bench.history_rows import fill
from tests.proof.bench.ledger import Receiver, check, percentile, rate
from tests.proof.bench.pages import VALUES
from tests.proof.bench.process import SERVERS_CORE, CoreUse, Process, busy
from tests.proof.bench.queues import LATE_SECONDS
from tests.proof.bench.rig import Rig, verdict
from tests.proof.bench.sampling import KEPT_UP_MS, LEAST_PACE, WARM_SECONDS, event, kept_up, spread
from tests.proof.bench.visitors import KEY, People
from worker.stores.history.store import history_store

PEOPLE = 3
INSTANCES = 100
LETTERS = 1_000
"""In the queue of dead letters, so that there is something to count."""

TRIAL_SECONDS = 3.0

UNHURRIED = 0.8
"""Of the servers' core at most, while nobody looks: RabbitMQ, the receiver and the publisher share it here. Where it is
full, whatever asks RabbitMQ for anything holds up the deliveries, which says nothing of the console."""

CLOSE_MS = 5
"""That people at the console may add to p99."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Latencies in ms, ascending; shares of the worker's core and of the servers' core; by how many seconds the
    publisher was late at worst."""

    latencies: list[float]
    cpu: float
    servers: float
    late: float

    @property
    def p99(self) -> float:
        return percentile(self.latencies, 99)


def visited(rig: Rig, *, rounds: int, count: int, seconds: float, rows: int) -> Iterator[str]:
    """With everything on: history of `rows` rows, console, API, archive, dead letters. From the pace at which
    `count` events are drained, the maximum is sought; then each turn runs for `seconds` at half of it."""
    settings = _everything(rig, rows)
    turns: dict[bool, list[Turn]] = {False: [], True: []}
    with Receiver() as receiver:
        rig.set_webhooks({f"bench-{number}": receiver.url("ok", number) for number in range(INSTANCES)})
        rig.queues.fill(f"{rig.prefix}.dead", [event("bench-0", 800, number) for number in range(LETTERS)])
        drained = _drained(rig, receiver, count, settings)
        with rig.worker(**settings) as worker:
            worker.wait_consuming()
            maximum = _kept_up(rig, receiver, worker, drained)
            pace = _unhurried(rig, receiver, worker, maximum / 2)
            _turn(rig, receiver, worker, pace, WARM_SECONDS)
            with People(f"http://127.0.0.1:{rig.api_port}/console", [f"bench-{n}" for n in range(PEOPLE)]) as people:
                for number in range(rounds):
                    for clicking in (False, True) if number % 2 == 0 else (True, False):
                        visitors = people if clicking else None
                        turns[clicking].append(_turn(rig, receiver, worker, pace, seconds, visitors))
        rig.check_left(LETTERS)
    yield from _table(turns, maximum, pace, rows, seconds, sorted(people.times))


def _everything(rig: Rig, rows: int) -> dict[str, str]:
    uri, now = f"sqlite:///{rig.folder}/visited.db", int(time.time() * 1000)

    async def make() -> None:
        kept = history_store(uri, 8, lambda: now)
        await kept.prepare()
        await kept.close()

    asyncio.run(make())
    fill(uri, rows, now, {**VALUES, "instance": f"'bench-' || (i % {INSTANCES})", "webhook": "'default'"})
    console = {"AUTHENTICATION_API_KEY": KEY, "SERVER_PORT": str(rig.api_port), "CONSOLE": "true"}
    return {**console, "HISTORY": "all", "HISTORY_DATABASE_URI": uri, "ARCHIVE": "true"}


def _kept_up(rig: Rig, receiver: Receiver, worker: Process, pace: float) -> float:
    """The most events a second that arrive as they are published, while nobody looks: publishing and the archive take
    their part of the servers' core, which a full queue does not. Raises LedgerError on a machine that is too busy."""
    return kept_up(pace, lambda pace: _turn(rig, receiver, worker, pace, TRIAL_SECONDS).p99 <= KEPT_UP_MS)


def _unhurried(rig: Rig, receiver: Receiver, worker: Process, pace: float) -> float:
    """That pace, or the next lower one at which the servers' core has room."""
    while _turn(rig, receiver, worker, pace, TRIAL_SECONDS).servers > UNHURRIED and pace > LEAST_PACE:
        pace *= 0.8
    return pace


def _drained(rig: Rig, receiver: Receiver, count: int, settings: dict[str, str]) -> float:
    """Deliveries a second from a queue that is full, to the same receiver, while nobody looks."""
    rig.fill(rig.events_queue, (event(f"bench-{number % INSTANCES}", 800, number) for number in range(count)))
    with rig.worker(**settings) as worker:
        receiver.wait_for(count, worker)
    rig.check_left(LETTERS)
    arrivals = receiver.noted()
    check(arrivals, range(count), lambda number: number % INSTANCES)
    return rate(arrivals)


def _turn(
    rig: Rig, receiver: Receiver, worker: Process, pace: float, seconds: float, people: People | None = None
) -> Turn:
    first, total = ceil(pace * WARM_SECONDS), ceil(pace * (WARM_SECONDS + seconds))
    rig.broker.begin_new_log()
    with people.walking() if people else nullcontext():
        servers, began, cpu = CoreUse(SERVERS_CORE), time.monotonic(), worker.cpu_seconds
        late = rig.queues.pace(
            rig.exchange,
            "messages.upsert",
            lambda number, sent: event(f"bench-{number % INSTANCES}", 800, number, sent=sent),
            rate=pace,
            until=lambda number: number >= total,
        )
        shares = (worker.cpu_seconds - cpu) / (time.monotonic() - began), servers.share
        receiver.wait_for(total, worker)
    arrivals = receiver.noted()
    check(arrivals, range(total), lambda number: number % INSTANCES)
    return Turn(sorted(each.latency_ms for each in arrivals if each.number >= first), *shares, late)


def _table(
    turns: dict[bool, list[Turn]], maximum: float, pace: float, rows: int, seconds: float, pages: list[float]
) -> Iterator[str]:
    yield (
        f"0.8 KB events to {INSTANCES} instances, {pace:.0f} a second: half of the {maximum:.0f} that are kept up "
        f"with, or what leaves a fifth of the servers' core free; history ({rows:,} rows, SQLite), archive, API and "
        f"console, all in one process, {len(turns[True])} turns of {seconds:g} s each way, median (min-max).\n"
    )
    yield "| at the console | events/s | p50 ms | p99 ms | p99.9 ms | CPU of the worker | servers' core |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, found in (("nobody", turns[False]), ("three people", turns[True])):
        figures = [spread([percentile(one.latencies, p) for one in found], 1) for p in (50, 99, 99.9)]
        cpu, servers = median(one.cpu for one in found), median(one.servers for one in found)
        yield f"| {name} | {pace:.0f} | {' | '.join(figures)} | {cpu:.0%} | {busy(servers)} |"
    added = [beside.p99 - alone.p99 for alone, beside in zip(turns[False], turns[True], strict=True)]
    middle = median(added)
    yield (
        f"\np99 with people at the console, turn by turn: {spread(added, 1)} ms more, {CLOSE_MS} at most: "
        f"{verdict(middle <= CLOSE_MS)}. They saw {len(pages)} pages, each of every kind: "
        f"{percentile(pages, 50) * 1000:.0f} ms in the median, {pages[-1] * 1000:.0f} at most."
    )
    late = max(one.late for found in turns.values() for one in found)
    if late > LATE_SECONDS:
        yield f"\nThe publisher was behind its pace by up to {late * 1000:.0f} ms: the servers' core was busy."

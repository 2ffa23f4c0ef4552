"""What a replay costs the events beside it, how fast the archive is read, and what it costs the broker."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from math import ceil
from pathlib import Path
from statistics import median

from tests.proof.bench.ledger import Arrival, LedgerError, Receiver, check, percentile
from tests.proof.bench.noting import SECOND_SERIES
from tests.proof.bench.process import Process, python
from tests.proof.bench.rig import Rig, verdict
from tests.proof.bench.sampling import WARM_SECONDS, event, spread
from tests.support.local_process import free_port

FRESH = 400.0
"""Events a second beside the replay."""

REPLAYED_FROM = SECOND_SERIES
"""Numbers of events that are replayed; those of fresh ones are below."""

LONGEST_SECONDS = 600.0
MORE_MS = 20.0
"""By how much a replay may raise the p99 of fresh events."""
KEY = "bench"
ENDPOINTS = 50
WITHOUT, WITH = "no replay", "a replay under way"


@dataclass(frozen=True, slots=True)
class Round:
    """Latencies of the fresh events in ms, ascending, and how many were replayed a second meanwhile."""

    latencies: list[float]
    replayed: float


@dataclass(frozen=True, slots=True)
class Broker:
    """What 20,000 events cost it: microseconds of its processor, and bytes on its disk, each."""

    cpu: float
    disk: float


def replay(rig: Rig, *, rounds: int, events: int, seconds: float) -> Iterator[str]:
    """`events` are in the archive; each round has fresh events for `seconds`, and then while all are replayed."""
    found: dict[str, list[Round]] = {WITHOUT: [], WITH: []}
    _fill_archive(rig, events)
    with Receiver() as receiver:
        for _ in range(rounds):
            for name, rows in found.items():
                rows.append(_round(rig, receiver, seconds, events, replays=name == WITH))
    yield f"{FRESH:.0f} fresh events of 0.8 KB a second, {ENDPOINTS} instances, {events:,} replayed, {rounds} rounds\n"
    yield "| beside | p50 ms | p99 ms (min-max) | replayed/s |\n| --- | --- | --- | --- |"
    for name, rows in found.items():
        p50, p99 = (spread([percentile(row.latencies, p) for row in rows], 1) for p in (50, 99))
        yield f"| {name} | {p50} | {p99} | {median(row.replayed for row in rows):.0f} |"
    without, beside = (median(percentile(row.latencies, 99) for row in found[name]) for name in (WITHOUT, WITH))
    more = beside - without
    yield f"\np99 of fresh events beside it: {more:+.1f} ms, +{MORE_MS:g} at most: {verdict(more <= MORE_MS)}"
    yield f"\nCounting {events:,} events of the archive in a command: {_scanned(rig, events):,.0f} events/s.\n"
    yield "| the broker, an event | CPU us | disk bytes |\n| --- | --- | --- |"
    for name, archived in (("without the archive", False), ("with it", True)):
        costs = [_broker_costs(rig, archived=archived) for _ in range(rounds)]
        yield f"| {name} | {spread([one.cpu for one in costs])} | {spread([one.disk for one in costs])} |"


def _fill_archive(rig: Rig, events: int) -> None:
    with rig.worker(ARCHIVE="true", HISTORY="all") as worker:
        worker.wait_consuming()
        _until(lambda: rig.metric("webhook_worker_archiving") == 1, "the archive to be there")
    bodies = (event("replayed", 800, REPLAYED_FROM + number) for number in range(events))
    rig.queues.publish(f"{rig.prefix}.archive", bodies)


def _round(rig: Rig, receiver: Receiver, seconds: float, events: int, *, replays: bool) -> Round:
    rig.purge()
    urls = {f"bench-{number}": receiver.url("ok", number) for number in range(ENDPOINTS)}
    rig.set_webhooks({**urls, "replayed": receiver.url("ok", ENDPOINTS)})
    port, first, least = free_port(), ceil(FRESH * WARM_SECONDS), ceil(FRESH * (WARM_SECONDS + seconds))
    settings = {"ARCHIVE": "true", "HISTORY": "all", "AUTHENTICATION_API_KEY": KEY, "SERVER_PORT": str(port)}
    replayed = 0
    with rig.worker(**settings) as worker:
        rig.queues.publish(rig.events_queue, [event("bench-0", 800, REPLAYED_FROM - 1)])
        receiver.wait_for(1, worker)
        receiver.noted()
        rig.broker.begin_new_log()
        if replays:
            replayed = events
            _ask(port, "POST", "/replay", {"instance": "replayed", "since": "1d", "all": True})
            _until(lambda: receiver.count_second_series() > 0, "the replay to send")
        began = time.monotonic()
        total = _pace(rig, lambda number: number >= least and receiver.count_second_series() >= replayed)
        took = time.monotonic() - began
        arrivals = _arrivals(receiver, worker, total, replayed)
    others = [arrival for arrival in arrivals if arrival.number >= REPLAYED_FROM]
    fresh = [arrival for arrival in arrivals if arrival.number < REPLAYED_FROM]
    check(fresh, range(total), lambda number: number % ENDPOINTS)
    if any(arrival.endpoint != ENDPOINTS for arrival in others) or len(others) != replayed:
        raise LedgerError(f"{len(others)} events were replayed, not {replayed}, or to another endpoint")
    latencies = sorted(arrival.latency_ms for arrival in fresh if arrival.number >= first)
    return Round(latencies, len({arrival.number for arrival in others}) / took)


def _pace(rig: Rig, done: Callable[[int], bool]) -> int:
    """Fresh events until `done` with so many of them; how many there were."""
    ends, total, ended = time.monotonic() + LONGEST_SECONDS, 0, False

    def made(number: int, sent: float) -> bytes:
        nonlocal total
        total = number + 1
        return event(f"bench-{number % ENDPOINTS}", 800, number, sent=sent)

    def over(number: int) -> bool:
        nonlocal ended
        if time.monotonic() > ends:
            raise LedgerError(f"the replay is not done within {LONGEST_SECONDS:.0f} s")
        ended = ended or (number % 100 == 0 and done(number))
        return ended

    rig.queues.pace(rig.exchange, "messages.upsert", made, rate=FRESH, until=over)
    return total


def _arrivals(receiver: Receiver, worker: Process, fresh: int, replayed: int) -> list[Arrival]:
    deadline, arrivals = time.monotonic() + 60, list[Arrival]()
    while len(arrivals) < fresh + replayed:
        worker.check_running()
        if time.monotonic() > deadline:
            raise LedgerError(f"{len(arrivals)} of {fresh} fresh and {replayed} replayed events arrived")
        arrivals += receiver.noted()
        time.sleep(0.05)
    return arrivals


def _scanned(rig: Rig, events: int) -> float:
    """Events a second of a dry run, its start included. Up to now it would wait until the youngest can be judged."""
    asked = ("--since", "1d", "--until", "10s", "--all", "--dry-run", "--json")
    command = python("-m", "worker", "replay", "replayed", *asked)
    settings = rig.environment(ARCHIVE="true", HISTORY="all")
    began = time.monotonic()
    done = subprocess.run(command, env=settings, check=True, capture_output=True, text=True)
    counted = json.loads(done.stdout)["found"]
    if counted != events:
        raise LedgerError(f"{counted} of {events} archived events were found")
    return events / (time.monotonic() - began)


_NUMBERS = count()


def _broker_costs(rig: Rig, *, archived: bool) -> Broker:
    """An exchange of its own with a quorum queue, and with the stream beside it; nobody consumes."""
    events, number = 20_000, next(_NUMBERS)
    exchange, queue, stream = (f"{rig.prefix}-{name}-{number}" for name in ("costs", "queue", "stream"))
    rig.queues.declare_bound(exchange, queue, stream if archived else None)
    before, disk = _cpu(rig.broker.pid), _bytes(rig.broker.folder)
    bodies = [event("bench-0", 800, number) for number in range(events)]
    rig.queues.publish_to(exchange, "messages.upsert", bodies)
    _until(lambda: rig.depth(queue) == events, "all events to be in the queue")
    found = Broker((_cpu(rig.broker.pid) - before) / events * 1e6, (_bytes(rig.broker.folder) - disk) / events)
    rig.queues.delete(queue, *([stream] if archived else []))
    return found


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


def _ask(port: int, method: str, path: str, body: dict[str, object]) -> dict[str, object]:
    headers = {"apikey": KEY, "content-type": "application/json"}
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, object] = json.loads(answer.read())
    return found


def _until(fact: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)

"""A receiver has come back: very many retries are due at one moment, while fresh events keep coming."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pamqp.commands import Basic

from tests.proof.bench.ledger import Arrival, Receiver, check, percentile
from tests.proof.bench.noting import SECOND_SERIES
from tests.proof.bench.process import SERVERS_CORE, CoreUse, Process
from tests.proof.bench.queues import Message
from tests.proof.bench.rig import Rig
from tests.proof.bench.sampling import event, spread
from worker.broker.past_headers import headers_of
from worker.domain.past import Past

ENDPOINTS = 200
PACE = 400.0
"""Fresh events a second: well below what one core delivers."""

QUIET_SECONDS = 2.0
"""With fresh events alone before the storm, at least."""

FILL_SECONDS, FILLED_A_SECOND = 5.0, 5_000
"""What the broker is given to take the retries: until all are in their queue, none may be due."""

DELAY = 135
"""The delay queue, longer than all that: each retry's own expiry ends its wait before."""

LIMIT = 300.0
"""Seconds after which the retries should have been delivered on any machine."""


@dataclass(frozen=True, slots=True)
class Storm:
    """Seconds from the moment when all are due to the last retry's arrival; fresh events' latencies in ms, ascending,
    before the storm and in it; how busy the servers' core was."""

    seconds: float
    before: list[float]
    during: list[float]
    servers: float


def retry_storm(rig: Rig, *, rounds: int, count: int) -> Iterator[str]:
    """`count` retries to 200 endpoints, all due at once, and a steady 400 fresh events a second to the same ones."""
    storms = []
    with Receiver() as receiver:
        rig.set_webhooks({f"bench-{number}": receiver.url("ok", number) for number in range(ENDPOINTS)})
        for _ in range(rounds):
            rig.purge()
            with rig.worker() as worker:
                storms.append(_storm(rig, receiver, worker, count))
            rig.check_left()
    seconds = [one.seconds for one in storms]
    yield (
        f"{count:,} retries due at one moment, {ENDPOINTS} endpoints, {PACE:.0f} fresh events a second, "
        f"{rounds} rounds: delivered within **{spread(seconds, 1)} s**, {spread([count / one for one in seconds])} a "
        f"second; servers' core {max(one.servers for one in storms):.0%} busy.\n"
    )
    yield "| fresh events | p50 ms | p99 ms | p99.9 ms |"
    yield "| --- | --- | --- | --- |"
    for name, found in (
        ("before the storm", [one.before for one in storms]),
        ("in the storm", [one.during for one in storms]),
    ):
        yield f"| {name} | {' | '.join(spread([percentile(one, p) for one in found], 1) for p in (50, 99, 99.9))} |"


def _storm(rig: Rig, receiver: Receiver, worker: Process, count: int) -> Storm:
    rig.broker.begin_new_log()
    rig.queues.publish(rig.events_queue, [_event(number, 0.0) for number in range(ENDPOINTS)])
    receiver.wait_for(ENDPOINTS, worker)
    receiver.noted()
    patience = FILL_SECONDS + count / FILLED_A_SECOND
    due = time.monotonic() + patience + QUIET_SECONDS
    retries = (_retry(rig, number, due) for number in range(count))
    rig.queues.send(f"{rig.prefix}.retry.{DELAY}s", retries, limit=patience)
    storm = _Until(receiver, due, count)
    rig.queues.pace(rig.exchange, "messages.upsert", _event, rate=PACE, until=storm.over)
    receiver.wait_for(count + storm.fresh, worker)
    arrivals = receiver.noted()
    numbers = {*range(storm.fresh), *range(SECOND_SERIES, SECOND_SERIES + count)}
    check(arrivals, numbers, lambda number: number % ENDPOINTS)
    last = max(arrival.arrived for arrival in arrivals if arrival.number >= SECOND_SERIES)
    fresh = [arrival for arrival in arrivals if arrival.number < SECOND_SERIES]
    before, during = _latencies(fresh, 0.0, due), _latencies(fresh, due, last)
    return Storm(last - due, before, during, storm.servers_busy)


class _Until:
    """Publishing fresh events ends when the retries have been delivered; looked at four times a second."""

    def __init__(self, receiver: Receiver, due: float, count: int) -> None:
        self._receiver = receiver
        self._limit = due + LIMIT
        self._look_at = due
        self._count = count
        self._servers: CoreUse | None = None
        self.servers_busy = 0.0
        self.fresh = 0

    def over(self, number: int) -> bool:
        self.fresh = number
        now = time.monotonic()
        if now < self._look_at:
            return False
        self._look_at = now + 0.25
        self._servers = self._servers or CoreUse(SERVERS_CORE)
        self.servers_busy = self._servers.share
        return now > self._limit or self._receiver.count_second_series() == self._count


def _latencies(arrivals: list[Arrival], start: float, end: float) -> list[float]:
    return sorted(arrival.latency_ms for arrival in arrivals if start <= arrival.sent < end)


def _event(number: int, sent: float) -> bytes:
    return event(f"bench-{number % ENDPOINTS}", 800, number, sent=sent)


def _retry(rig: Rig, number: int, due: float) -> Message:
    """As the worker leaves it after a failed attempt, but for its expiry: whenever published, it is due at `due`."""
    body = _event(SECOND_SERIES + number, due)
    past = Past(
        event_id=hashlib.sha256(body).hexdigest(),
        first_seen=time.time() - 60,
        exchange=rig.exchange,
        routing_key="messages.upsert",
        webhook_id="default",
    ).failed(503, "503", "503")
    headers: dict[str, Any] = dict(headers_of(past))
    left = max(0, round((due - time.monotonic()) * 1000))
    return body, Basic.Properties(delivery_mode=2, headers=headers, expiration=str(left), message_id="retry")

"""What owners and the operator hear of endpoints' troubles, from rows in a real SQLite file, with a moved clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from tests.delivery.fakes import Clock, FakePublisher, FakeWebhooks
from tests.history.fakes import row
from worker.broker.past_headers import past_in
from worker.delivery.notifier import Notifier
from worker.domain.history import Batch, Row
from worker.domain.notices.receivers import OPERATOR, operator, owner_id
from worker.domain.notices.trouble import TroubleKind
from worker.domain.silence.pulse import Pulse
from worker.domain.webhook import Webhook
from worker.history.store import HistoryStore
from worker.history.teller import Teller
from worker.stores.history.store import history_store

ACME = Webhook("acme", "http://h/", alert_url="http://owner/in")
OPS = operator("http://ops/in", "", "auto")
BAD = row(outcome="Retried", reason="5xx", status=503, error="the receiver answered 503", answer="down")
DEAD = BAD._replace(outcome="DeadLettered", reason="expired", ms=None)


class Replicas:
    """Two replicas over one history and one broker. `clock` is theirs."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.publisher = FakePublisher()
        self.webhooks = FakeWebhooks(ACME)
        self.stores = [history_store(f"sqlite:///{path}", 7, self.now_ms) for _ in range(2)]
        self.written = 0
        self.backlog: str | None = None
        self.self_fault: str | None = None
        self.silent: list[int] = []
        self.tellers = [self.teller(store) for store in self.stores]

    def teller(self, store: HistoryStore, *, successes: bool = True) -> Teller:
        notifier = Notifier(self.publisher, OPS, self.clock)
        watched = {TroubleKind.BACKLOG: lambda: self.backlog, TroubleKind.SELF_FAULT: lambda: self.self_fault}
        return Teller(
            store,
            self.webhooks,
            notifier,
            self.clock,
            successes=successes,
            watched=watched,
            on_silent=self.silent.append,
        )

    def now_ms(self) -> int:
        return int(self.clock() * 1000)

    async def write(self, *rows: Row) -> None:
        made = tuple(each._replace(at=self.now_ms() + later) for later, each in enumerate(rows))
        await self.stores[0].write([Batch("p", self.written, "r", made)])
        self.written += len(rows)

    async def tick(self) -> None:
        await asyncio.gather(*(teller.tick() for teller in self.tellers))

    async def minutes(self, count: int, *rows: Row) -> None:
        for _ in range(count):
            await self.write(*rows)
            await self.tick()
            self.clock.now += 60
        await self.tick()

    async def hours(self, count: int, *, messages: bool) -> None:
        """Six messages an hour, or none; other events always."""
        start = self.now_ms()
        self.clock.now += count * 3600
        times = range(start, self.now_ms(), 600_000)
        await self.stores[0].hear([Pulse("acme", at if messages else None, at) for at in times])

    def heard(self) -> list[tuple[str, str]]:
        """Whom RabbitMQ has a notice for, and its type; in order, and forgotten."""
        found, self.publisher.published = self.publisher.published, []
        pasts = [(past_in(each.headers), orjson.loads(each.body)["event"]) for each in found]
        return [((past.webhook_id or "") if past else "", kind) for past, kind in pasts]


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    made = Replicas(tmp_path / "history.db")
    await made.stores[0].prepare()
    yield made
    for store in made.stores:
        await store.close()


async def test_owner_and_operator_hear_once_that_it_fails_and_once_that_it_is_back(replicas: Replicas) -> None:
    await replicas.minutes(10, BAD)
    assert replicas.heard() == []
    await replicas.minutes(20, BAD)
    assert replicas.heard() == [(OPERATOR, "webhook.failing"), (owner_id("default"), "webhook.failing")]
    await replicas.minutes(5, row(), BAD)
    assert replicas.heard() == [], "one of two events succeeds, the other fails again: neither is told"
    await replicas.minutes(5, row())
    assert replicas.heard() == [(OPERATOR, "webhook.recovered"), (owner_id("default"), "webhook.recovered")]


async def test_dead_letters_are_told_at_once_and_then_in_digests(replicas: Replicas) -> None:
    await replicas.minutes(1, DEAD, DEAD._replace(webhook=None, instance=None))
    assert sorted(replicas.heard()) == [
        (OPERATOR, "webhook.dead"),
        (OPERATOR, "webhook.dead"),
        (owner_id("default"), "webhook.dead"),
    ]
    await replicas.minutes(30, DEAD)
    assert replicas.heard() == [(OPERATOR, "webhook.dead"), (owner_id("default"), "webhook.dead")] * 2


async def test_while_rabbitmq_takes_nothing_it_waits_and_is_never_forgotten(
    replicas: Replicas, caplog: pytest.LogCaptureFixture
) -> None:
    replicas.publisher.failures = 1_000
    with caplog.at_level(logging.WARNING):
        await replicas.minutes(5, DEAD)
    assert len([1 for record in caplog.records if "notices wait" in record.message]) <= 2, "once for each replica"
    replicas.publisher.failures = 0
    await replicas.minutes(2)
    assert replicas.heard() == [(OPERATOR, "webhook.dead"), (owner_id("default"), "webhook.dead")]


async def test_one_that_is_killed_before_it_said_that_it_told_makes_another_say_it_with_the_same_id(
    replicas: Replicas,
) -> None:
    await replicas.write(DEAD)
    (claimed,) = await replicas.stores[0].claim(replicas.now_ms())
    await Notifier(replicas.publisher, OPS, replicas.clock).tell(claimed.notice, ())
    await replicas.tick()
    replicas.clock.now += 60
    await replicas.tick()
    ids = {str(published.headers["x-delivery-event-id"]) for published in replicas.publisher.published}
    assert replicas.heard() == [(OPERATOR, "webhook.dead")] * 2 + [(owner_id("default"), "webhook.dead")]
    assert len(ids) == 1


async def test_without_the_rows_of_successes_no_webhook_is_called_failing(replicas: Replicas) -> None:
    replicas.tellers = [replicas.teller(store, successes=False) for store in replicas.stores]
    await replicas.minutes(12, BAD)
    assert replicas.heard() == []


async def test_webhooks_that_are_not_known_make_it_wait(replicas: Replicas) -> None:
    replicas.webhooks.down = True
    await replicas.minutes(1, DEAD)
    assert replicas.heard() == []
    replicas.webhooks.down = False
    await replicas.minutes(1)
    assert replicas.heard() == [(OPERATOR, "webhook.dead"), (owner_id("default"), "webhook.dead")]


async def test_the_operator_hears_once_of_a_trouble_that_every_replica_has(replicas: Replicas) -> None:
    replicas.self_fault = "no network"
    await replicas.minutes(20)
    assert replicas.heard() == [(OPERATOR, "worker.self_fault")]
    replicas.self_fault = None
    await replicas.minutes(2)
    replicas.self_fault = "again"
    await replicas.minutes(2)
    assert replicas.heard() == [], "it came back at once"
    replicas.self_fault = None
    await replicas.minutes(20)
    replicas.self_fault = "another day"
    await replicas.minutes(1)
    assert replicas.heard() == [(OPERATOR, "worker.self_fault")]


async def test_a_backlog_is_told_when_it_stays(replicas: Replicas) -> None:
    replicas.backlog = "the oldest event has waited for 6 minutes"
    await replicas.minutes(1)
    replicas.backlog = None
    await replicas.minutes(3)
    assert replicas.heard() == []
    replicas.backlog = "the oldest event has waited for 6 minutes"
    await replicas.minutes(10)
    assert replicas.heard() == [(OPERATOR, "worker.backlog")]


async def test_an_instance_that_falls_silent_is_told_once_to_operator_and_owners_and_again_after_it_spoke(
    replicas: Replicas,
) -> None:
    replicas.webhooks.known["acme"] = (ACME, replace(ACME, id="two"), Webhook("acme", "http://h/2", "three"))
    await replicas.hours(15 * 24, messages=True)
    await replicas.tick()
    assert (replicas.heard(), {*replicas.silent}) == ([], {0})
    for _ in range(12):
        await replicas.hours(1, messages=False)
        await replicas.tick()
    everybody = [(OPERATOR, "instance.silent"), (owner_id("two"), "instance.silent")]
    assert replicas.heard() == everybody, "two webhooks of one owner are one address"
    assert replicas.silent[-2:] == [1, 1], "both replicas see it"
    await replicas.hours(1, messages=True)
    await replicas.tick()
    assert (replicas.heard(), replicas.silent[-1]) == ([], 0)
    await replicas.hours(12, messages=False)
    await replicas.tick()
    assert replicas.heard() == everybody

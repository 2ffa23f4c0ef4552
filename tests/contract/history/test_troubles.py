"""Endpoints' troubles, kept beside the rows: told by one of several processes, never forgotten, on each database."""

from __future__ import annotations

import asyncio

from tests.contract.history.conftest import DELIVERED, FAILED, NOON, Clock, NewHistory, batch
from worker.domain.history import Row
from worker.domain.notices.notice import Kind
from worker.domain.notices.trouble import DIGEST_MS, FAILING_MS, TroubleKind, own
from worker.history.store import Claimed, HistoryStore

LATER = NOON + FAILING_MS
DEAD = FAILED._replace(outcome="DeadLettered", reason="attempts_exhausted", ms=None)


def failing(*, instance: str = "acme") -> tuple[Row, Row]:
    return FAILED._replace(instance=instance), FAILED._replace(instance=instance, at=LATER)


def kinds(claimed: list[Claimed] | tuple[Claimed, ...]) -> list[tuple[str, str | None]]:
    return sorted((each.notice.kind.value, each.notice.instance) for each in claimed)


async def claimed_by(history: HistoryStore, now: int) -> list[Claimed]:
    return [*await history.claim(now)]


async def test_it_is_claimed_once_and_again_with_one_id_until_it_is_told(
    history: HistoryStore, new_history: NewHistory
) -> None:
    await history.write([batch(*failing())])
    found = await asyncio.gather(*(claimed_by(new_history(), LATER) for _ in range(5)))
    (first,) = [claimed for each in found for claimed in each]
    assert await claimed_by(history, LATER + 59_999) == []
    (again,) = await claimed_by(history, LATER + 60_000)
    assert again.notice.event_id == first.notice.event_id
    await history.told(first, LATER + 60_000)  # too late: another one has it
    assert kinds(await claimed_by(history, LATER + 120_000)) == [("webhook.failing", "acme")]
    (last,) = await claimed_by(history, LATER + 180_000)
    await history.told(last, LATER + 180_000)
    assert await claimed_by(history, LATER + 10_000_000) == []


async def test_recovery_comes_once_and_nothing_stays(history: HistoryStore) -> None:
    await history.write([batch(*failing())])
    (claimed,) = await history.claim(LATER)
    await history.told(claimed, LATER)
    await history.write([batch(DELIVERED._replace(at=LATER + 1), number=2)])
    (recovered,) = await history.claim(LATER + 2)
    assert recovered.notice.kind is Kind.RECOVERED
    await history.told(recovered, LATER + 2)
    await history.write([batch(DELIVERED._replace(at=LATER + 3), number=3)])
    assert await claimed_by(history, LATER + 10_000_000) == []


async def test_those_that_fail_are_listed_until_they_take_something(history: HistoryStore) -> None:
    once = FAILED._replace(instance="once")
    longer = [row._replace(at=row.at - 1) for row in failing(instance="longer")]
    await history.write([batch(*failing(), *longer, once)])
    assert [found.key.instance for found in await history.failing()] == ["longer", "acme"]
    (claimed, _) = await history.claim(LATER)
    await history.told(claimed, LATER)
    assert [found.key.instance for found in await history.failing()] == ["longer", "acme"]
    await history.write([batch(DELIVERED._replace(at=LATER + 1), number=9)])
    assert [found.key.instance for found in await history.failing()] == ["longer"]


async def test_a_batch_that_comes_twice_counts_once(history: HistoryStore, new_history: NewHistory) -> None:
    dead = batch(*(DEAD._replace(at=NOON + number) for number in range(3)))
    await asyncio.gather(*(new_history().write([dead]) for _ in range(4)))
    (claimed,) = await history.claim(NOON + 3)
    assert claimed.bad == 3
    assert claimed.notice.reason.startswith("3 deliveries were given up")


async def test_ten_writers_of_many_endpoints_lose_no_count(history: HistoryStore, new_history: NewHistory) -> None:
    names = [f"instance {number}" for number in range(12)]
    rows = [DEAD._replace(instance=name) for name in names]
    batches = [batch(*rows[at:], *rows[:at], producer=str(at)) for at in range(10)]
    await asyncio.gather(*(new_history().write([each]) for each in batches))
    claimed = await claimed_by(history, NOON)
    assert sorted((each.notice.instance, each.bad) for each in claimed) == sorted((name, 10) for name in names)


async def test_what_comes_while_one_is_told_is_told_in_the_next_digest(history: HistoryStore) -> None:
    await history.write([batch(DEAD)])
    (first,) = await history.claim(NOON)
    await history.write([batch(DEAD._replace(at=NOON + 5), DEAD._replace(at=NOON + 6), number=1)])
    await history.told(first, NOON + 7)
    assert await claimed_by(history, NOON + 6 + DIGEST_MS) == []
    (digest,) = await history.claim(NOON + 7 + DIGEST_MS)
    assert (digest.bad, digest.notice.event_id != first.notice.event_id) == (2, True)


async def test_what_each_replica_reports_of_itself_is_one_trouble(
    history: HistoryStore, new_history: NewHistory
) -> None:
    await history.report(own(TroubleKind.SELF_FAULT, None, NOON))
    assert await claimed_by(history, NOON) == []
    await asyncio.gather(*(new_history().report(own(TroubleKind.SELF_FAULT, "no network", NOON)) for _ in range(5)))
    (claimed,) = await history.claim(NOON)
    assert (claimed.notice.kind, claimed.notice.webhook, claimed.bad) == (Kind.SELF_FAULT, None, 5)


async def test_hostile_names_and_answers_are_kept_apart_and_read_back(history: HistoryStore, clock: Clock) -> None:
    names = ("acme", "ACME", "acme ", "açme", "a" * 255)
    rows = [row._replace(answer="\0 \ud83d 🔥", error="e" * 5000) for name in names for row in failing(instance=name)]
    unstorable = [row._replace(instance=name) for name in ("nul\0", "a" * 256) for row in failing()]
    assert await history.write([batch(*rows, *unstorable)])
    claimed = await claimed_by(history, LATER)
    assert kinds(claimed) == sorted(("webhook.failing", name) for name in names)
    assert {each.notice.sample.answer for each in claimed if each.notice.sample} == {"\0 ? 🔥"}

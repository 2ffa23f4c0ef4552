"""Days go when they are old, and what never arrived is counted once, by whoever tidies."""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from tests.contract.history.conftest import DAY, DELIVERED, KEEP_DAYS, NOON, Clock, NewHistory, batch
from tests.support.postgres import Postgres
from worker.history.store import HistoryStore, Question, Tidied
from worker.stores.history import chunks, gaps
from worker.stores.history import clock as clocks
from worker.stores.history.store import history_store

MINUTE = 60_000


async def moments(history: HistoryStore) -> list[int]:
    return [kept.row.at for kept in (await history.page(Question(None), None, 500)).items]


async def test_what_is_older_than_it_is_kept_goes(history: HistoryStore, new_history: NewHistory, clock: Clock) -> None:
    days = [NOON - day * DAY for day in range(KEEP_DAYS + 1)]
    await history.write([batch(*(DELIVERED._replace(at=at) for at in days))])
    clock.now = NOON + 2 * DAY
    tidied = await asyncio.gather(*(new_history().tidy(clock.now) for _ in range(10)))
    assert sum(one.expired for one in tidied) in (1, 2)  # PostgreSQL drops whole days alone
    left = await moments(history)
    assert left == days[: len(left)]
    assert len(left) in (KEEP_DAYS, KEEP_DAYS - 1)
    assert await history.tidy(clock.now) == Tidied(0, 0)
    clock.now = NOON + 30 * DAY
    await history.tidy(clock.now)
    assert await moments(history) == []


@pytest.mark.parametrize("days", [30, -30], ids=["ahead", "behind"])
async def test_days_go_by_the_databases_clock_whatever_the_workers_say(
    history: HistoryStore, clock: Clock, uri: str, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """SQLite's file is on the worker's machine, whose clock it has."""
    now = int(time.time() * 1000)
    clock.now = now - 3 * DAY
    await history.write(
        [batch(DELIVERED._replace(at=now - (KEEP_DAYS + 2) * DAY), DELIVERED._replace(at=now - 2 * DAY))]
    )
    monkeypatch.setattr(clocks, "local", lambda: time.time() + days * 86_400)
    worker = history_store(uri, KEEP_DAYS)
    try:
        await worker.prepare()
        assert await worker.write([batch(DELIVERED._replace(at=now - DAY), number=2)]) == (
            not is_sqlite(uri) or days < 0
        )
        await worker.tidy()
    finally:
        await worker.close()
    left = await moments(history)
    assert (now - 2 * DAY in left) == (not is_sqlite(uri) or days < 0)
    assert (now - (KEEP_DAYS + 2) * DAY in left) == (is_sqlite(uri) and days < 0)


def is_sqlite(uri: str) -> bool:
    return uri.startswith("sqlite")


async def test_many_rows_go_in_chunks(history: HistoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk ends at a moment: all rows of the same one go together."""
    monkeypatch.setattr(chunks, "ROWS", 10)
    monkeypatch.setattr(chunks, "MOST_CHUNKS", 3)
    await history.write([batch(*[DELIVERED._replace(at=NOON + at // 4) for at in range(100)])])
    clock.now = NOON + (KEEP_DAYS + 1) * DAY
    expired = [(await history.tidy(clock.now)).expired for _ in range(4)]
    assert expired in ([36, 36, 28, 0], [1, 0, 0, 0])  # PostgreSQL drops the day
    assert await moments(history) == []


async def test_a_hole_is_counted_once_when_the_batch_behind_it_is_two_minutes_old(
    history: HistoryStore, new_history: NewHistory, clock: Clock
) -> None:
    await history.write([batch(DELIVERED, number=5), batch(DELIVERED, DELIVERED, number=6)])
    await history.write([batch(DELIVERED, number=10, producer="two")])
    assert (await history.tidy(clock.now)).lost == 0
    clock.now += 2 * MINUTE
    tidiers = [new_history() for _ in range(10)]
    assert sum(one.lost for one in await asyncio.gather(*(one.tidy(clock.now) for one in tidiers))) == 15
    await history.write([batch(DELIVERED, number=20), batch(DELIVERED, number=8)])
    assert (await history.tidy(clock.now)).lost == 0
    clock.now += 2 * MINUTE
    assert sum(one.lost for one in await asyncio.gather(*(one.tidy(clock.now) for one in tidiers))) == 11
    assert (await history.tidy(clock.now + DAY)).lost == 0


async def test_what_has_been_counted_is_told_when_the_database_goes_meanwhile(
    history: HistoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await history.write([batch(DELIVERED, number=5, producer=name) for name in ("one", "two")])
    clock.now += 2 * MINUTE
    calls = iter((gaps.count, None))

    def count(since: int, batches: Iterable[gaps.Written], now: int) -> gaps.Counted:
        working = next(calls)
        if working is None:
            raise OperationalError("SELECT", None, OSError("the connection was lost"))
        return working(since, batches, now)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(gaps, "count", count)
        assert (await history.tidy(clock.now)).lost == 5
    assert (await history.tidy(clock.now)).lost == 5


async def test_a_batch_that_came_late_fills_its_hole(history: HistoryStore, clock: Clock) -> None:
    await history.write([batch(DELIVERED, number=0), batch(DELIVERED, number=2)])
    clock.now += MINUTE
    await history.tidy(clock.now)
    await history.write([batch(DELIVERED, number=1)])
    assert (await history.tidy(clock.now + DAY)).lost == 0


async def test_rows_that_were_left_out_have_arrived(history: HistoryStore, clock: Clock) -> None:
    await history.write([batch(DELIVERED._replace(at=0), DELIVERED._replace(id="\0")), batch(DELIVERED, number=2)])
    assert (await history.tidy(clock.now + 5 * MINUTE)).lost == 0


async def test_a_producer_that_was_silent_until_its_batches_are_forgotten_has_lost_nothing(
    history: HistoryStore, clock: Clock
) -> None:
    await history.write([batch(DELIVERED, DELIVERED)])
    await history.tidy(clock.now)
    clock.now += 60 * DAY
    assert (await history.tidy(clock.now)).lost == 0
    await history.write([batch(DELIVERED._replace(at=clock.now), number=2)])
    assert (await history.tidy(clock.now + DAY)).lost == 0


async def test_a_forgotten_batch_that_comes_again_writes_nothing(history: HistoryStore, clock: Clock) -> None:
    old = batch(DELIVERED._replace(at=NOON + 2 * DAY - 1))
    assert await history.write([old]) == 1
    for day in range(1, KEEP_DAYS + 10):
        clock.now = NOON + day * DAY
        await history.tidy(clock.now)
        assert await history.write([old]) == 0


@pytest.mark.parametrize(
    "start",
    [
        datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC),  # over the end of a month
        datetime(2026, 3, 28, 12, tzinfo=UTC),  # Europe's clocks go forward
        datetime(2028, 2, 28, 23, tzinfo=UTC),  # a leap day
        datetime(2026, 12, 31, 23, 59, tzinfo=UTC),
    ],
)
async def test_each_day_has_a_partition_of_24_hours(postgres: Postgres, start: datetime) -> None:
    name = f"history_{uuid4().hex}"
    uri = postgres.create_database(name)
    postgres.execute(name, f"ALTER DATABASE {name} SET timezone = 'Europe/Berlin'")
    clock = Clock()
    clock.now = int(start.timestamp() * 1000)
    history = history_store(uri, KEEP_DAYS, clock)
    try:
        await history.prepare()
        hours = range(-48, 48)
        rows = [DELIVERED._replace(at=clock.now + hour * 3_600_000) for hour in hours]
        assert await history.write([batch(*rows)]) == len(hours)
        assert await moments(history) == [row.at for row in reversed(rows)]
    finally:
        await history.close()
    days = {(clock.now + hour * 3_600_000) // DAY for hour in (*hours, 48)}
    assert await asyncio.to_thread(partitions, uri) == {
        f"webhook_history_{datetime.fromtimestamp(day * 86_400, UTC):%Y%m%d}" for day in days
    }


def partitions(uri: str) -> set[str]:
    with psycopg.connect(uri) as connection:
        found = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE c.relkind = 'r'"
        )
        return {row[0] for row in found}


async def test_partitions_are_made_two_days_ahead(postgres: Postgres) -> None:
    uri = postgres.create_database(f"history_{uuid4().hex}")
    clock = Clock()
    stores = [history_store(uri, KEEP_DAYS, clock) for _ in range(10)]
    await asyncio.gather(*(store.prepare() for store in stores))
    assert partitions(uri) == {f"webhook_history_202611{day}" for day in (28, 29, 30)}
    await asyncio.gather(*(store.tidy(NOON + DAY) for store in stores))
    assert partitions(uri) == {f"webhook_history_2026{day}" for day in (1128, 1129, 1130, 1201)}
    for store in stores:
        await store.close()

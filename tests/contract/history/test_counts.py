"""How a webhook fared hour by hour, on each database."""

import asyncio

import pytest
from sqlalchemy import delete, inspect, select, text, update

from tests.contract.history.conftest import DAY, DELIVERED, FAILED, NOON, Clock, NewHistory, batch
from worker.domain.webhook import Endpoint
from worker.history.store import Health, HistoryStore, Span, Trend
from worker.stores.database import parse
from worker.stores.engine import engine_of
from worker.stores.history.schema import (
    HAS_UNUSUAL,
    LASTS,
    MINUTES,
    OF_ENDPOINT,
    OF_UNUSUAL,
    TOTALS,
    VERSIONS,
    history_of,
)

HOUR = 3_600_000
DEFAULT = Endpoint("acme", "default")
PARKED = FAILED._replace(outcome="Parked", reason="circuit_open", ms=None, status=None)


async def test_a_trend_has_an_hour_each_and_the_last_of_either_kind(history: HistoryStore) -> None:
    ages = (0, HOUR - 1, HOUR, DAY - 1, DAY, 2 * DAY)
    delivered = [DELIVERED._replace(at=NOON - age) for age in ages]
    failed = [FAILED._replace(at=NOON - 2 * HOUR), FAILED._replace(at=NOON - 2 * HOUR, outcome="DeadLettered")]
    ahead = DELIVERED._replace(at=NOON + HOUR, webhook="ahead")
    await history.write([batch(*delivered, *failed, PARKED, DELIVERED._replace(instance="ACME"), ahead)])
    hours = [Span(2, 2), Span(1, 1), Span(2, 0), *[Span(0, 0)] * 20, Span(1, 1)]
    wanted = [DEFAULT, Endpoint("acme", "ahead"), Endpoint("a\0", "x"), Endpoint("nobody", "default")]
    assert await history.trends(wanted, NOON) == {DEFAULT: Trend(tuple(hours), NOON, NOON - 2 * HOUR)}
    assert await history.trends([], NOON) == {}


async def test_what_is_written_twice_is_counted_once_by_however_many(
    history: HistoryStore, new_history: NewHistory
) -> None:
    batches = [batch(*[DELIVERED._replace(at=NOON - number)] * 3, FAILED, number=number) for number in range(0, 40, 4)]
    writers = [history, *(new_history() for _ in range(4))]
    await asyncio.gather(*(writer.write(batches[first:] + batches[:first]) for first, writer in enumerate(writers)))
    assert (await history.health("acme", NOON))["default"] == Health(Span(40, 30), Span(40, 30), NOON, NOON)


async def test_what_nobody_asks_for_is_forgotten(history: HistoryStore, uri: str, clock: Clock) -> None:
    week_ago = NOON - 6 * DAY
    await history.write(
        [batch(DELIVERED, FAILED._replace(at=week_ago, webhook="old"), DELIVERED._replace(at=week_ago))]
    )
    clock.now += 2 * DAY
    await history.tidy(clock.now)
    engine = engine_of(parse(uri))
    with engine.connect() as connection:
        assert connection.execute(select(MINUTES)).all() == connection.execute(select(TOTALS)).all() == []
        assert connection.execute(select(LASTS)).all() == [("acme", "default", NOON, 0)]
    engine.dispose()
    assert await history.health("acme", clock.now) == await history.trends([DEFAULT], clock.now) == {}


@pytest.mark.usefixtures("own_database")
async def test_rows_of_the_version_before_are_counted_when_it_is_migrated(history: HistoryStore, uri: str) -> None:
    rows = [DELIVERED, FAILED._replace(at=NOON - 2 * HOUR), FAILED._replace(webhook=None), PARKED]
    await history.write([batch(*rows, DELIVERED._replace(webhook="old", at=NOON - 5 * DAY))])
    engine = engine_of(parse(uri))
    with engine.begin() as connection:
        for table in (MINUTES, LASTS):
            connection.execute(delete(table))
        TOTALS.drop(connection)
        for index in history_of(connection.dialect.name).indexes:
            if index.name == OF_ENDPOINT or (index.name == OF_UNUSUAL and connection.dialect.name in HAS_UNUSUAL):
                index.drop(connection)
        columns = "webhook_history (instance, webhook, outcome, at)"
        connection.execute(text(f"CREATE INDEX webhook_history_health ON {columns}"))
        connection.execute(update(VERSIONS).values(version=4))
    engine.dispose()
    await history.prepare()
    await history.write([batch(DELIVERED, number=9)])
    assert await history.health("acme", NOON) == {"default": Health(Span(2, 2), Span(3, 2), NOON, NOON - 2 * HOUR)}
    found = (await history.trends([DEFAULT], NOON))[DEFAULT]
    assert (found.hours[0], found.hours[2], found.last_failure) == (Span(2, 2), Span(1, 0), NOON - 2 * HOUR)
    with engine.connect() as connection:
        indexes = {each["name"] for each in inspect(connection).get_indexes("webhook_history")}
        assert (OF_ENDPOINT in indexes, "webhook_history_health" in indexes) == (True, False)
        assert (OF_UNUSUAL in indexes) == (connection.dialect.name in HAS_UNUSUAL)
    assert (await history.last_hour(None, NOON, (), 1)).attempts == Span(2, 2)
    engine.dispose()

"""What the newest rows came to, and how a webhook fared hour by hour, on each database."""

from tests.contract.history.conftest import DAY, DELIVERED, FAILED, NOON, batch
from worker.domain.webhook import Endpoint
from worker.history.store import HistoryStore, Span, Tally, Trend

HOUR = 3_600_000
DEFAULT_NAMES = ("acme", "default")
DEFAULT = Endpoint("acme", "default")
PARKED = FAILED._replace(outcome="Parked", reason="circuit_open", ms=None, status=None)


async def test_tallies_are_of_the_newest_rows_and_the_owners_alone(history: HistoryStore) -> None:
    of_another = DELIVERED._replace(at=NOON - 4, instance="ACME")
    early = FAILED._replace(at=NOON - 2 * HOUR)
    rows = [DELIVERED._replace(at=NOON - at) for at in (1, 2)]
    await history.write([batch(*rows, FAILED._replace(at=NOON - 3), of_another, PARKED._replace(at=NOON - 5), early)])
    ok, failed = (
        Tally(*DEFAULT_NAMES, "Delivered", "ok", 2, NOON - 1),
        Tally(*DEFAULT_NAMES, "Retried", "5xx", 1, NOON - 3),
    )
    parked = Tally(*DEFAULT_NAMES, "Parked", "circuit_open", 1, NOON - 5)
    other = Tally("ACME", "default", "Delivered", "ok", 1, NOON - 4)
    assert {*await history.tallies(None, NOON - HOUR, 100)} == {ok, failed, other, parked}
    assert {*await history.tallies("acme", NOON - HOUR, 100)} == {ok, failed, parked}
    assert {*await history.tallies(None, NOON - HOUR, 3)} == {ok, failed}
    assert await history.tallies("a\0b", NOON - HOUR, 3) == await history.tallies("nobody", 0, 3) == ()


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

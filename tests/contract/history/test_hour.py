"""How deliveries fared within the hour, on each database."""

from tests.contract.history.conftest import DAY, DELIVERED, FAILED, NOON, batch
from worker.domain.notices.receivers import OPERATOR
from worker.domain.webhook import Endpoint
from worker.history.store import Failing, HistoryStore, LastHour, Span

HOUR = 3_600_000
DEFAULT = Endpoint("acme", "default")
OURS = ("self_fault", "internal")
PARKED = FAILED._replace(outcome="Parked", reason="self_fault", ms=None, status=None)


async def test_the_last_hour_is_everybodys_or_the_owners_alone(history: HistoryStore) -> None:
    of_another = DELIVERED._replace(at=NOON - 4, instance="ACME")
    early = FAILED._replace(at=NOON - 2 * HOUR)
    ahead = DELIVERED._replace(at=NOON + HOUR, webhook="ahead")
    rows = [DELIVERED._replace(at=NOON - at) for at in (1, 2)]
    parked = [PARKED._replace(at=NOON - 5), PARKED._replace(at=NOON - 6), PARKED._replace(reason="circuit_open")]
    await history.write([batch(*rows, FAILED._replace(at=NOON - 3), of_another, early, ahead, *parked)])
    await history.write([batch(DELIVERED._replace(at=NOON - 7), PARKED._replace(instance="ACME"), number=20)])
    ahead_of_all = NOON + HOUR
    assert await history.last_hour(None, NOON, OURS, 9) == LastHour(Span(5, 4), ahead_of_all, (), 0, {"self_fault": 3})
    assert await history.last_hour("acme", NOON, OURS, 9) == LastHour(
        Span(4, 3), ahead_of_all, (), 0, {"self_fault": 2}
    )
    assert await history.last_hour("ACME", NOON, (), 9) == LastHour(Span(1, 1), NOON - 4, (), 0, {})
    nothing = LastHour(Span(0, 0), None, (), 0, {})
    assert await history.last_hour("a\0b", NOON, OURS, 9) == await history.last_hour("nobody", NOON, OURS, 9) == nothing


async def test_who_fails_is_who_failed_last_the_longest_without_success_first(history: HistoryStore) -> None:
    def row(webhook: str, ago: int, *, ok: bool) -> object:
        return (DELIVERED if ok else FAILED)._replace(webhook=webhook, at=NOON - ago)

    recovered = [row("recovered", 2, ok=False), row("recovered", 1, ok=True)]
    failing = [row("failing", 9, ok=True), *(row("failing", ago, ok=False) for ago in (8, 7, 6))]
    since_yesterday = [row("since_yesterday", DAY, ok=True), row("since_yesterday", 4, ok=False)]
    given_up = [
        row("never", 5, ok=False),
        FAILED._replace(webhook="never", outcome="DeadLettered", reason="410", at=NOON),
    ]
    quiet = [row("quiet", HOUR + 1, ok=False)]
    heard = [FAILED._replace(webhook=OPERATOR)]
    await history.write([batch(*recovered, *failing, *since_yesterday, *given_up, *quiet, *heard)])
    never = Failing(Endpoint("acme", "never"), Span(2, 0), NOON, None, "410")
    yesterday = Failing(Endpoint("acme", "since_yesterday"), Span(1, 0), NOON - 4, NOON - DAY, "5xx")
    lately = Failing(Endpoint("acme", "failing"), Span(4, 1), NOON - 6, NOON - 9, "5xx")
    found = await history.last_hour("acme", NOON, (), 9)
    assert (found.failing, found.fail, found.last_success) == ((never, yesterday, lately), 3, NOON - 1)
    everybodys = await history.last_hour(None, NOON, (), 2)
    operators = Failing(Endpoint("acme", OPERATOR), Span(1, 0), NOON, None, "5xx")
    assert ({*everybodys.failing}, everybodys.fail) == ({never, operators}, 4)

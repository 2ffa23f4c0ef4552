"""Is it delivering? What the overview answers, from a real history."""

import re
from typing import Any

import pytest

from tests.console.conftest import FAILED, HOSTILE, ROW, Console, MakeConsole, remember
from worker.console.overview import MOST_FAILING, answer
from worker.console.ports import Backlog, BrokerAway
from worker.domain.webhook import Webhook
from worker.history.store import HistoryStore, LastHour, Span

QUIET = Backlog(0, 0, 0, 2, 0.0)


async def test_it_says_whether_it_delivers_and_who_fails(served: Console, history: HistoryStore) -> None:
    visitor = await served.operator()
    assert (await visitor.get()).heading == "Ready"
    later = FAILED._replace(at=ROW.at + 1000)
    await remember(history, ROW, later, ROW._replace(instance="loja"), FAILED._replace(instance="bar", at=1))
    seen = await visitor.get()
    assert seen.heading == "Delivering, but 1 webhook fails"
    assert "66.7 % of 3 attempts" in seen.words
    assert "acme / default 5xx The receiver answered that it has a fault 1 of 2" in seen.words
    assert "New events 12 wait for their first attempt Oldest new event 1 s it has waited" in seen.words
    assert "Retries 3 deliveries wait for their next attempt Dead letters 2 given up Workers 2 consume" in seen.words
    assert "bar" not in seen.words


async def test_nothing_new_has_no_oldest(served: Console) -> None:
    served.backlog = Backlog(0, 269, 0, 1, 0.0)
    seen = await (await served.operator()).get()
    assert "New events 0 wait for their first attempt Retries 269 deliveries wait for their next" in seen.words


async def test_an_owner_sees_its_own_alone_and_no_queue(served: Console, history: HistoryStore) -> None:
    await remember(history, ROW, FAILED._replace(instance="loja", webhook="theirs"))
    seen = await (await served.owner()).get()
    assert (seen.heading, "100 % of 1 attempts" in seen.words) == ("Delivering", True)
    assert not [word for word in ("loja", "theirs", "Workers", "Retries", "Doctor") if word in seen.words]


async def test_hostile_names_are_only_text(served: Console, history: HistoryStore) -> None:
    await remember(history, FAILED._replace(instance=HOSTILE, webhook=HOSTILE[:60], reason=HOSTILE[:60]))
    seen = await (await served.operator()).get()
    assert "<script>alert" not in seen.text
    assert "\u202e" not in seen.text
    assert "\\u202eevil\\u200b{{7*7}}" in seen.words


async def test_what_cannot_be_asked_is_said(served: Console, make_console: MakeConsole, store: Any) -> None:
    served.backlog = BrokerAway("RabbitMQ at amqp://h: refused")
    seen = await (await served.operator()).get()
    assert (seen.heading, "RabbitMQ at amqp://h: refused" in seen.words) == ("RabbitMQ cannot be asked", True)
    without = await make_console(store)
    seen = await (await without.operator()).get()
    assert (seen.heading, "HISTORY is off" in seen.words) == ("It consumes", True)


def hour(attempts: int = 0, delivered: int = 0, fail: int = 0, **rows: int) -> LastHour:
    return LastHour(Span(attempts, delivered), None, (), fail, rows)


@pytest.mark.parametrize(
    ("backlog", "hour", "heading"),
    [
        (Backlog(9, 0, 0, 0), hour(), "Nothing is delivered"),
        (Backlog(9, 0, 0, 1, 300.0), hour(1, 1), "It is behind"),
        (QUIET, hour(self_fault=1), "Something is ours"),
        (QUIET, hour(2, 2), "Delivering"),
        (QUIET, hour(2, 0, 1), "Nothing gets through"),
        (QUIET, hour(2, 1, 1), "Delivering, but 1 webhook fails"),
        (QUIET, hour(2, 1, 1200), "Delivering, but 1,200 webhooks fail"),
        (QUIET, None, "It consumes"),
        (None, hour(2, 2), "Delivering"),
    ],
)
def test_the_worst_that_is_true_comes_first(backlog: Backlog | None, hour: LastHour | None, heading: str) -> None:
    assert answer(backlog, None, hour).word == heading
    assert answer(backlog, "away", hour).word == "RabbitMQ cannot be asked"


async def test_those_that_fail_and_what_is_ours_are_counted(served: Console, history: HistoryStore) -> None:
    failed = [FAILED._replace(webhook=f"dead-{number}") for number in range(MOST_FAILING + 1)]
    ours = [FAILED._replace(outcome="Parked", reason="self_fault", ms=None, status=None)] * 3
    await remember(history, ROW, *failed, *ours)
    seen = await (await served.operator()).get()
    assert seen.heading == "Something is ours"
    assert "self_fault 3" in seen.words
    assert (seen.words.count("acme / dead-"), "And 1 more." in seen.words) == (MOST_FAILING, True)


async def test_without_rows_of_successes_nothing_is_said_of_them(
    served: Console, make_console: MakeConsole, store: Any, history: HistoryStore
) -> None:
    """HISTORY=failures: whoever has only failed attempts to count must not call a webhook failing."""
    await store.put(Webhook("acme", "https://h.example/"))
    await remember(history, *(FAILED._replace(at=FAILED.at - number) for number in range(3)))
    visitor = await (await make_console(store, history=served.history, successes=False)).operator()
    seen = await visitor.get()
    assert (seen.heading, "3 attempts failed" in seen.words) == ("1 webhook had failures", True)
    for path, heading in (("/webhooks", "1 with failures"), ("/webhook?instance=acme&id=default", "Had failures")):
        seen = await visitor.get(path)
        assert seen.heading == heading
        assert not re.search(r"Failing|\d %|Last success", seen.words)
    assert answer(QUIET, None, hour(), successes=False).word == "No failure"
    assert answer(QUIET, None, hour(self_fault=1), successes=False).word == "Something is ours"

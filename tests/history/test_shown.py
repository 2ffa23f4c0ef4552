"""What people and programs read of the history."""

from __future__ import annotations

import asyncio

import pytest

from tests.delivery.fakes import Clock
from tests.history.fakes import FakeStore, row
from worker.history import asking as module
from worker.history import shown
from worker.history.asking import Asking
from worker.history.store import Cursor, Health, Kept, Page, Question, Span
from worker.webhooks.store import StoreUnavailable

AT = 1_795_000_000_123
DELIVERED = Kept(2, "pod-1", row(AT + 1000, attempt=2))
FAILED = Kept(
    1, "pod-1", row(AT, outcome="Retried", reason="5xx", status=500, error="the receiver answered 500", answer="a\nb")
)


def test_a_row_has_exactly_the_fields_that_programs_rely_on() -> None:
    assert shown.row(FAILED) == {
        "at": "2026-11-18T11:06:40.123Z",
        "id": "msg_1",
        "event_id": "e1",
        "instance": "acme",
        "webhook": "default",
        "event": "MESSAGES_UPSERT",
        "chat": "5511@s.whatsapp.net",
        "outcome": "Retried",
        "reason": "5xx",
        "attempt": 1,
        "status": 500,
        "ms": 12,
        "error": "the receiver answered 500",
        "answer": "a\nb",
        "size": 800,
        "host": "h:80",
        "replica": "pod-1",
    }
    assert list(shown.row(FAILED)) == list(shown.FIELDS)


def test_a_page_tells_how_to_get_the_next() -> None:
    assert shown.page(Page((), None)) == {"items": [], "next": None}
    found = shown.page(Page((FAILED,), Cursor(AT, 1)))
    assert isinstance(found["next"], str)


def test_a_time_line_reads_from_top_to_bottom() -> None:
    assert list(shown.timeline((FAILED, DELIVERED))) == [
        "msg_1: MESSAGES_UPSERT of acme",
        "  webhook default, chat 5511@s.whatsapp.net, event e1",
        "2026-11-18T11:06:40.123Z  attempt 1 to h:80 answered 500 after 12 ms: Retried (5xx), by pod-1",
        "    the receiver answered 500",
        "    answer: a b",
        "2026-11-18T11:06:41.123Z  attempt 2 to h:80 answered 200 after 12 ms: Delivered (ok), by pod-1",
    ]


def test_what_came_from_outside_cannot_speak_to_a_terminal() -> None:
    hostile = Kept(1, "pod\x1b[2J", row(AT, error="\x1b]0;x\x07", answer="\x9b31m", instance="a\nb"))
    for line in (*shown.timeline((hostile,)), *shown.table([hostile])):
        assert line.isprintable()


def test_a_clock_that_was_wrong_spoils_no_page() -> None:
    assert shown.row(Kept(1, "r", row(10**18)))["at"] == f"{10**18} ms"


def test_health_is_a_share_and_the_last_of_each() -> None:
    found = Health(Span(4, 3), Span(0, 0), AT, None)
    assert shown.health(found) == {
        "hour": {"attempts": 4, "success": 0.75},
        "day": {"attempts": 0, "success": None},
        "last_success": "2026-11-18T11:06:40.123Z",
        "last_failure": None,
    }
    assert "3 of 4 attempts succeeded within the hour" in shown.health_line("default", found)
    assert shown.by_webhook({}, "crm") == shown.health(shown.UNKNOWN_HEALTH)
    assert shown.by_webhook(None, "crm") is None


def asking(store: FakeStore, missing: str | None = None) -> Asking:
    return Asking(store, lambda: missing, Clock())


async def test_tables_are_prepared_once_before_the_first_question() -> None:
    store = FakeStore()
    found = asking(store)
    await found.page(Question(None), None, 10)
    await found.timeline("msg_1", None)
    assert store.calls == ["prepare", "page", "timeline"]


async def test_a_file_that_nobody_has_made_is_not_made_for_a_question() -> None:
    store = FakeStore()
    with pytest.raises(StoreUnavailable, match="no history yet"):
        await asking(store, "there is no history yet").page(Question(None), None, 10)
    assert await asking(store, "there is no history yet").health("acme") is None
    assert store.calls == []


async def test_health_is_unknown_rather_than_an_error_or_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FakeStore()
    store.away = True
    assert await asking(store).health("acme") is None
    store.away = False

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "health", hang)
    monkeypatch.setattr(module, "HEALTH_SECONDS", 0.01)
    assert await asyncio.wait_for(asking(store).health("acme"), 5) is None

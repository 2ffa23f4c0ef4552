"""Searches by several filters: each page is bounded, and all of them together find each row that matches."""

import random
from typing import Any

import pytest

from tests.contract.history.conftest import DELIVERED, NOON, batch
from worker.domain.history import Row
from worker.history.store import Cursor, HistoryStore, Page, Question
from worker.stores.history.reading import pages

FEW = 7
"""In place of MOST_ROWS."""

QUESTIONS = 12

VALUES: dict[str, tuple[Any, ...]] = {
    "instance": ("acme", "loja"),
    "webhook": ("default", "crm", None),
    "event": ("MESSAGES_UPSERT", "CALL"),
    "chat": ("5511@s.whatsapp.net", "5511@lid", "120363@g.us"),
    "outcome": ("Delivered", "Delivered", "Delivered", "Retried", "Skipped"),
    "reason": ("ok", "5xx", "timeout"),
    "status": (200, 503, None),
}
ASKED = {**VALUES, "chat": ("5511", "5511@lid", "120363"), "outcome": ("Delivered", "Retried", "DeadLettered")}


def made(chance: random.Random) -> list[Row]:
    """Three of each moment."""
    rows = []
    for number in range(60):
        values = {name: chance.choice(some) for name, some in VALUES.items()}
        rows.append(DELIVERED._replace(at=NOON - number // 3, id=f"msg_{number % 20}", attempt=number, **values))
    return rows


def asked(chance: random.Random) -> dict[str, Any]:
    names = chance.sample(sorted(ASKED), chance.randint(1, 4))
    found = {name: chance.choice([value for value in ASKED[name] if value is not None]) for name in names}
    return {**found, **({"until": NOON - 2, "since": NOON - 18} if chance.random() < 0.3 else {})}


def matches(row: Row, given: dict[str, Any]) -> bool:
    if not given.get("since", 0) <= row.at < given.get("until", NOON + 1):
        return False
    chat = given.get("chat", row.chat)
    if row.chat not in (chat, f"{chat}@s.whatsapp.net", f"{chat}@lid", f"{chat}@g.us"):
        return False
    return all(getattr(row, name) == value for name, value in given.items() if name in VALUES and name != "chat")


async def all_pages(history: HistoryStore, question: Question) -> list[Page]:
    found: list[Page] = []
    after: Cursor | None = None
    while not found or after is not None:
        found.append(await history.page(question, after, 5))
        after = found[-1].following
    return found


async def test_its_pages_have_what_matches_and_nothing_twice(
    history: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_ROWS", FEW)
    chance = random.Random(20)
    rows = made(chance)
    await history.write([batch(*rows)])
    short = 0
    for _ in range(QUESTIONS):
        given, owner = asked(chance), chance.choice((None, "acme"))
        found = await all_pages(history, Question(owner=owner, **given))
        wanted = {row.attempt for row in rows if matches(row, given) and owner in (None, row.instance)}
        shown = [kept.row for page in found for kept in page.items]
        assert sorted(row.attempt for row in shown) == sorted(wanted), given
        assert [row.at for row in shown] == sorted((row.at for row in shown), reverse=True)
        assert all((page.looked_to is not None) <= (page.following is not None) for page in found)
        assert all(len(page.items) == 5 or page.looked_to is not None for page in found[:-1])
        short += any(page.looked_to is not None for page in found)
    assert short > 2


async def test_a_page_that_found_nothing_says_how_far_back_it_looked(
    history: HistoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_ROWS", FEW)
    await history.write([batch(*(DELIVERED._replace(at=NOON - number, attempt=number) for number in range(2 * FEW)))])
    never = Question(None, instance="acme", event=DELIVERED.event, webhook="quiet")
    assert await history.page(never, None, 5) == Page((), None)  # there is no row of the webhook
    both = Question(None, instance="acme", event=DELIVERED.event, outcome="Delivered", status=200, reason="timeout")
    assert await history.page(both, None, 5) == Page((), None)
    usual = Question(None, event=DELIVERED.event, outcome="Delivered", instance="acme", chat="120363@g.us")
    assert await history.page(usual, None, 5) == Page((), None)
    failed = DELIVERED._replace(chat="120363@g.us", event="CALL")
    await history.write([batch(*(failed._replace(at=NOON - number) for number in range(2 * FEW)), number=99)])
    page = await history.page(Question(None, event="CALL", chat=DELIVERED.chat), None, 5)
    assert (page.items, page.looked_to) == ((), NOON - FEW + 1)
    assert page.following is not None
    assert await history.page(Question("acme", instance="loja"), None, 5) == Page((), None)

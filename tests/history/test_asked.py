"""Filters as people write them: what they mean, and what is wrong with each that means nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.notices.receivers import owner_id
from worker.history import asked
from worker.history.asked import _READERS, BadFilter, question
from worker.history.filters import FILTERS, LONGEST
from worker.history.store import Cursor, Question
from worker.stores.history.schema import LONGEST_NAMES

NOW = 1_795_000_000.0


def test_every_filter_is_read() -> None:
    found = question(
        {
            "instance": "Loja 1",
            "webhook": "crm",
            "event": "messages.upsert",
            "chat": "+5511999999999",
            "outcome": "deadlettered",
            "reason": "5xx",
            "status": "503",
            "since": "2h",
            "until": "2026-11-18T11:06:40Z",
            "id": "msg_1",
        },
        "acme",
        NOW,
    )
    assert found == Question(
        owner="acme",
        instance="Loja 1",
        webhook="crm",
        event="MESSAGES_UPSERT",
        chat="5511999999999",
        outcome="DeadLettered",
        reason="5xx",
        status=503,
        since=1_794_992_800_000,
        until=1_795_000_000_000,
        id="msg_1",
    )
    assert set(FILTERS) == set(Question.__slots__) - {"owner"}
    assert set(FILTERS) == set(_READERS)


def test_every_id_that_a_row_can_have_can_be_asked_for() -> None:
    """That of a notice's receiver is `notice:` and the longest id of a webhook."""
    longest = owner_id("w" * 64)
    assert question({"webhook": longest}, None, NOW).webhook == longest
    assert {name: LONGEST_NAMES[name] for name in ("instance", "webhook", "id")}.items() <= LONGEST.items()


@pytest.mark.parametrize(
    ("typed", "chat"),
    [
        ("5511:3@c.us", "5511@s.whatsapp.net"),
        ("+55 11 90000-0004", "5511900000004"),
        ("+1 (212) 555.0100", "12125550100"),
    ],
)
def test_a_chat_is_asked_for_by_its_canonical_address(typed: str, chat: str) -> None:
    assert question({"chat": typed}, None, NOW).chat == chat


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("instance", "", "1 to 255"),
        ("instance", "a\0b", "1 to 255"),
        ("instance", "\ud83d", "1 to 255"),
        ("webhook", "w" * 81, "1 to 80"),
        ("event", "", "1 to 255"),
        ("chat", "somebody", "phone number"),
        ("chat", "5511@example.com", "phone number"),
        ("outcome", "lost", "must be one of Delivered, Skipped"),
        ("reason", "weather", "must be one of"),
        ("status", "5xx", "three digits"),
        ("status", "٢٠٠", "three digits"),
        ("since", "yesterday", "an age (90s, 30m, 2h, 3d), a time of day or an ISO time"),
        ("until", "", "an age"),
        ("owner", "acme", "is no filter"),
        ("replica", "pod", "is no filter"),
    ],
)
def test_a_bad_filter_is_named_with_what_is_allowed(name: str, text: str, told: str) -> None:
    with pytest.raises(BadFilter) as caught:
        question({name: text}, None, NOW)
    assert told in caught.value.problems[name]


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(BadFilter) as caught:
        question({"status": "x", "reason": "y", "instance": "acme"}, None, NOW)
    assert set(caught.value.problems) == {"status", "reason"}


def test_a_span_that_ends_before_it_begins_is_told() -> None:
    with pytest.raises(BadFilter, match="since must be before until"):
        question({"since": "1h", "until": "2h"}, None, NOW)


@given(st.sampled_from(sorted(FILTERS)), st.text(max_size=20))
def test_any_text_is_read_or_refused(name: str, text: str) -> None:
    problems: Mapping[str, str] = {name: ""}
    owner = "acme"
    try:
        owner = str(question({name: text}, "acme", NOW).owner)
    except BadFilter as error:
        problems = error.problems
    assert (owner, set(problems)) == ("acme", {name})


def test_a_cursor_comes_back_as_it_was_written() -> None:
    assert asked.cursor(asked.written(Cursor(1_795_000_000_123, 42))) == Cursor(1_795_000_000_123, 42)
    assert (asked.cursor(None), asked.written(None)) == (None, None)


@pytest.mark.parametrize("text", ["", "x", "é", "WyJhIiwxXQ==", "WzFd", "WzEsMiwzXQ==", "e30=", "\ud83d"])
def test_what_is_no_cursor_is_told(text: str) -> None:
    with pytest.raises(BadFilter, match="after must be the `next`"):
        asked.cursor(text)


@pytest.mark.parametrize("text", ["0", "-1", "501", "x", "", "1e2", "٣"])
def test_a_bad_limit_is_told(text: str) -> None:
    with pytest.raises(BadFilter, match="limit must be"):
        asked.limit(text)
    assert (asked.limit(None), asked.limit("500")) == (100, 500)

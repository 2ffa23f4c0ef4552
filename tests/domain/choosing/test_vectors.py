"""tests/vectors: the meaning of filters, chats and choices, for us and for anybody who checks theirs."""

import json
from typing import Any

import pytest

from tests.domain.choosing import plain_filter
from tests.domain.choosing.made import event_of, event_with, passes, told, vectors
from worker.domain.choosing.chat import Chat, chat_of, from_me, participant_of, reader
from worker.domain.choosing.operators import OPERATORS
from worker.domain.choosing.plan import ChatOfEvent

FILTERS = vectors("filters")
CHATS = vectors("chats")


def named(rows: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(row, id=row["name"]) for row in rows]


@pytest.mark.parametrize("row", named(FILTERS))
def test_a_filter(row: dict[str, Any]) -> None:
    assert passes(event_of(row["event"]), row["filter"]) is row["expected"]


@pytest.mark.parametrize("row", named(FILTERS))
def test_the_plain_reading_of_the_page_agrees(row: dict[str, Any]) -> None:
    assert plain_filter.passes(row["event"], row["filter"]) is row["expected"]


def test_there_are_enough_and_none_twice() -> None:
    assert len({json.dumps([row["event"], row["filter"]]) for row in FILTERS}) == len(FILTERS) >= 150
    for operator in OPERATORS:
        answers = {row["expected"] for row in FILTERS if row["name"].startswith(f"{operator} ")}
        assert answers == {True, False}, operator


@pytest.mark.parametrize("row", named(vectors("choices")))
def test_choices(row: dict[str, Any]) -> None:
    assert told(event_of(row["event"]), row["choices"]) == row["expected"]


@pytest.mark.parametrize("row", named(CHATS))
def test_a_chat_and_its_participant(row: dict[str, Any]) -> None:
    expected = Chat(row["chat"], row["other"]) if row["chat"] else None
    assert chat_of(reader(row["data"])) == expected
    assert ChatOfEvent()(event_with(row["data"]).fields) == expected
    assert participant_of(row["data"]) == row["participant"]
    assert from_me(reader(row["data"])) is row["from_me"]


@pytest.mark.parametrize("row", named(CHATS))
def test_a_chat_in_an_array(row: dict[str, Any]) -> None:
    expected = Chat(row["chat"], row["other"]) if row["chat"] else None
    chat = ChatOfEvent()
    assert chat(event_with([row["data"], row["data"]]).fields) == expected
    assert chat(event_with([row["data"], "1999@g.us"]).fields) is None

"""A key and its endpoint: one attempt at a time, backoff in place, and whose fault a failure is."""

import pytest

from worker.domain.webhook import Endpoint
from worker.ordered.deciding.line import Line
from worker.ordered.deciding.ports import Item

ENDPOINT = Endpoint("acme", "default")


def item(key: str, number: int = 1, block: float = 300.0) -> Item:
    return Item(f"{key}{number}", ENDPOINT, key, block_seconds=block)


def line(*items: Item) -> Line:
    made = Line(ENDPOINT)
    for one in items:
        made.feed(one)
    return made


def fail(made: Line, name: str, now: float, *, answered: bool = True) -> Item | None:
    key = made.keys[name]
    made.begin(key)
    made.failed(key, now, answered=answered)
    return made.to_give_up(key, now)


def succeed(made: Line, name: str, now: float) -> None:
    key = made.keys[name]
    made.begin(key)
    made.ended(key, now, succeeded=True)


def test_a_failure_waits_1_s_at_first_and_twice_as_long_each_time_up_to_a_minute() -> None:
    made, now = line(item("chat")), 0.0
    key = made.keys["chat"]
    waits = []
    for _ in range(8):
        made.begin(key)
        assert not made.ready(key, now), "one attempt at a time"
        made.failed(key, now, answered=False)
        waits.append(key.not_before - now)
        assert not made.ready(key, key.not_before - 0.01)
        now = key.not_before
        assert made.ready(key, now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_the_next_delivery_of_a_key_begins_without_the_record_of_the_one_before() -> None:
    made = line(item("chat", 1), item("chat", 2))
    key = made.keys["chat"]
    fail(made, "chat", 10.0)
    succeed(made, "chat", 10.0)
    assert key.head.id == "chat2"
    assert made.ready(key, 10.0)
    assert key.answered_since is None


def test_an_event_that_is_answered_with_failures_is_given_up_when_its_chat_is_the_only_one() -> None:
    made = line(item("pizza"))
    assert fail(made, "pizza", 0.0) is None
    assert fail(made, "pizza", 299.0) is None
    assert fail(made, "pizza", 300.0) is made.keys["pizza"].head


def test_no_answer_is_never_the_events_fault() -> None:
    made = line(item("pizza"))
    fail(made, "pizza", 0.0)
    assert fail(made, "pizza", 200.0, answered=False) is None
    assert fail(made, "pizza", 400.0) is None
    assert fail(made, "pizza", 700.0) is not None


def test_an_event_is_given_up_when_another_chats_was_delivered_meanwhile() -> None:
    made = line(item("pizza"), item("pasta"))
    fail(made, "pizza", 0.0)
    succeed(made, "pasta", 100.0)
    assert fail(made, "pizza", 300.0) is made.keys["pizza"].head


def test_before_an_event_is_given_up_another_chats_is_tried_once() -> None:
    made = line(item("pizza"), item("pasta"))
    fail(made, "pasta", 0.0, answered=False)
    fail(made, "pizza", 0.0)
    assert fail(made, "pizza", 300.0) is None
    assert made.suspect is made.keys["pizza"]
    assert made.ready(made.keys["pasta"], 300.0), "at once, whatever its backoff"
    assert not made.ready(made.keys["pizza"], 1000.0), "not before the other was tried"
    succeed(made, "pasta", 301.0)
    assert made.to_give_up(made.keys["pizza"], 301.0) is made.keys["pizza"].head


def test_when_the_other_chats_fails_too_the_endpoint_is_down_and_both_wait() -> None:
    made = line(item("pizza"), item("pasta"))
    fail(made, "pizza", 0.0)
    fail(made, "pizza", 300.0)
    fail(made, "pasta", 301.0, answered=False)
    assert made.suspect is None
    assert made.ready(made.keys["pizza"], 301.0)
    assert fail(made, "pizza", 400.0) is None, "its time begins anew"


@pytest.mark.parametrize("block", [1.0, 300.0])
def test_the_time_for_a_bad_event_is_its_webhooks_own(block: float) -> None:
    made = line(item("pizza", block=block))
    fail(made, "pizza", 0.0)
    assert fail(made, "pizza", block - 0.01) is None
    assert fail(made, "pizza", block) is not None

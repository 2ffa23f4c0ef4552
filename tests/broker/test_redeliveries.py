"""Messages that come again: recognised by all that makes them one message, once each, for a while."""

from dataclasses import dataclass, field, replace

import pytest

from worker.broker.consuming import redeliveries as module
from worker.broker.consuming.redeliveries import LARGEST_BYTES, REMEMBERED_SECONDS, Redeliveries


@dataclass(eq=False)
class Message:
    body: bytes = b"{}"
    headers: dict[str, object] = field(default_factory=dict)
    message_id: str | None = None
    exchange: str = "evolution"
    routing_key: str = "messages.upsert"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


RETRY = {"x-delivery-webhook": "default", "x-delivery-attempts": 2, "x-delivery-log": ["a", "b"], "x-death": [1]}


def test_a_settled_message_is_known_again_once() -> None:
    known = Redeliveries[Message](Clock())
    known.ended(Message(headers=dict(RETRY)), settled=True)
    again = Message(headers={**RETRY, "x-delivery-count": 1, "x-death": [2]})  # what RabbitMQ itself changes
    assert [known.was_settled(again), known.was_settled(again)] == [True, False]


@pytest.mark.parametrize(
    "change",
    [
        {"body": b"{ }"},
        {"message_id": "other"},
        {"exchange": "acme"},
        {"routing_key": "messages.update"},
        {"headers": {**RETRY, "x-delivery-attempts": 3}},
        {"headers": {}},
    ],
    ids=str,
)
def test_any_difference_makes_another_message(change: dict[str, object]) -> None:
    known = Redeliveries[Message](Clock())
    message = Message(headers=dict(RETRY))
    known.lost(message)
    known.ended(Message(headers=dict(RETRY)), settled=True)
    other = replace(message, **change)  # type: ignore[arg-type]
    assert not known.was_settled(other)
    assert known.under_way(other) is None
    assert known.under_way(replace(message)) is message


def test_equal_messages_answer_for_one_redelivery_each() -> None:
    known = Redeliveries[Message](Clock())
    first, second = Message(), Message()
    known.lost(first)
    known.lost(second)
    assert [known.under_way(Message()) for _ in range(3)] == [first, second, None]


def test_one_that_ended_meanwhile_is_not_under_way() -> None:
    known = Redeliveries[Message](Clock())
    first, second = Message(), Message()
    known.lost(first)
    known.lost(second)
    known.ended(first, settled=False)
    assert known.under_way(Message()) is second
    assert known.under_way(Message()) is None
    assert not known.was_settled(Message())


def test_it_is_forgotten_some_time_after_the_reconnect_and_not_before() -> None:
    clock = Clock()
    known = Redeliveries[Message](clock)
    known.broken()
    for _ in range(3):
        known.ended(Message(), settled=True)
    clock.now += 100 * REMEMBERED_SECONDS  # however long the broker is away
    known.reconnected()
    assert known.was_settled(Message())
    clock.now += REMEMBERED_SECONDS
    assert known.was_settled(Message())
    clock.now += 1
    assert not known.was_settled(Message())


def test_one_that_ends_after_the_reconnect_is_remembered_as_long() -> None:
    clock = Clock()
    known = Redeliveries[Message](clock)
    known.broken()
    known.reconnected()
    clock.now += 2 * REMEMBERED_SECONDS
    known.ended(Message(), settled=True)
    clock.now += REMEMBERED_SECONDS
    assert known.was_settled(Message())


def test_what_is_remembered_is_bounded_and_room_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 2)
    clock = Clock()
    known = Redeliveries[Message](clock)
    known.reconnected()
    for number in range(3):
        known.ended(Message(b"%d" % number), settled=True)
    assert [known.was_settled(Message(b"%d" % number)) for number in range(3)] == [True, True, False]
    for number in range(2):
        known.ended(Message(b"%d" % number), settled=True)
    clock.now += REMEMBERED_SECONDS + 1
    known.ended(Message(b"new"), settled=True)
    assert known.was_settled(Message(b"new"))


class Unhashed(bytes):
    """Hashing it takes too long."""

    def __hash__(self) -> int:
        raise AssertionError("hashed on the event loop")


def test_large_ones_are_repeated_rather_than_hashed() -> None:
    known = Redeliveries[Message](Clock())
    large, small = Message(Unhashed(LARGEST_BYTES + 1)), Message()
    known.lost(large)
    known.lost(small)
    known.ended(large, settled=True)
    known.ended(Message(b"1"), settled=True)
    assert known.under_way(large) is None
    assert not known.was_settled(large)

"""Messages that come again: recognised by all that makes them one message, once each, for a while."""

from dataclasses import dataclass, field, replace

import pytest

from worker.broker.redeliveries import LARGEST_BYTES, REMEMBERED_SECONDS, Redeliveries


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


def test_it_is_forgotten_in_time() -> None:
    clock = Clock()
    known = Redeliveries[Message](clock)
    known.ended(Message(), settled=True)
    clock.now += REMEMBERED_SECONDS
    known.ended(Message(b"1"), settled=True)
    clock.now += 1
    assert not known.was_settled(Message())
    assert known.was_settled(Message(b"1"))


def test_large_ones_are_repeated_rather_than_hashed() -> None:
    known = Redeliveries[Message](Clock())
    large = Message(bytes(LARGEST_BYTES + 1))
    known.lost(large)
    known.ended(large, settled=True)
    assert known.under_way(large) is None
    assert not known.was_settled(large)

"""One message and its deliveries: settled once, when the last one has left."""

from __future__ import annotations

import pytest

from tests.delivery.fakes import FakeMessage
from tests.support.events import event
from worker.broker.past_headers import headers_of
from worker.delivery.open_deliveries import OpenDeliveries, read
from worker.domain.event import Event, InvalidEvent, identity
from worker.domain.past import Past

HISTORY = Past("0" * 64, 1.0, "e", "k")


def test_the_message_is_acked_when_the_last_delivery_has_left() -> None:
    message = FakeMessage(b"")
    deliveries = OpenDeliveries(message, HISTORY)
    deliveries.opened(3)
    for _ in range(2):
        deliveries.closed()
        assert message.ends == []
    deliveries.closed()
    assert message.ends == ["ack"]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_one_delivery_that_is_not_stored_hands_the_whole_message_back_after_the_last(failing: int) -> None:
    message = FakeMessage(b"")
    deliveries = OpenDeliveries(message, HISTORY)
    deliveries.opened(3)
    for number in range(3):
        assert message.ends == []
        deliveries.closed(settled=number != failing)
    assert message.ends == ["hand back"]


def test_the_past_begins_now_with_the_identity_of_the_event() -> None:
    message = FakeMessage(event(), message_id="m1")
    past, found = read(message, 5.0)
    assert past == Past(identity(message.body, "m1"), 5.0, "evolution_exchange", "messages.upsert")
    assert isinstance(found, Event)


def test_the_past_is_carried_along_whatever_the_broker_says_of_the_last_hop() -> None:
    carried = HISTORY.for_webhook("audit").failed(500, "the receiver answered 500", "then 500")
    message = FakeMessage(event(), headers_of(carried), message_id="17", exchange="", routing_key="webhooks.retries")
    assert read(message, 99.0)[0] == carried


def test_damaged_headers_are_an_invalid_event_with_a_new_past() -> None:
    message = FakeMessage(event(), {**headers_of(HISTORY), "x-delivery-attempts": "many"})
    past, problem = read(message, 5.0)
    assert isinstance(problem, InvalidEvent)
    assert "x-delivery-attempts" in str(problem)
    assert (past.first_seen, past.attempts) == (5.0, 0)


def test_a_body_that_is_no_event_keeps_the_past_it_came_with() -> None:
    message = FakeMessage(b"[", headers_of(HISTORY.for_webhook("default")))
    past, problem = read(message, 5.0)
    assert isinstance(problem, InvalidEvent)
    assert past.event_id in (HISTORY.event_id, identity(b"[", None))

"""Events whose instance's webhooks are not known yet: in line, and out of it again."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.delivery.conftest import MakeRig, Rig, calm
from tests.delivery.fakes import FakeMessage
from tests.support.events import event
from worker.delivery.ports import ConfigUnavailable
from worker.delivery.unknown import EVENTS_AT_ONCE
from worker.domain.choosing.subscriptions import Subscriptions, subscriptions
from worker.domain.webhook import Webhook

ACME = Webhook("acme", "http://h/acme")


class Store:
    """Answers every lookup of a pipeline when it is told to."""

    def __init__(self, found: Rig) -> None:
        self.asked = 0
        self.answer: asyncio.Future[Subscriptions] = asyncio.get_running_loop().create_future()
        found.webhooks.find = self.find  # type: ignore[method-assign]

    async def find(self, _: str) -> Subscriptions:
        self.asked += 1
        return await asyncio.shield(self.answer)


def messages(count: int) -> list[FakeMessage]:
    return [FakeMessage(event(data=number)) for number in range(count)]


def sent(found: Rig) -> list[int]:
    return [json.loads(request.body)["data"] for request, _ in found.sender.sent]


async def test_a_line_of_any_length_leaves_in_the_order_of_arrival(rig: MakeRig) -> None:
    found = rig()
    store, line = Store(found), messages(3 * EVENTS_AT_ONCE + 1)
    await found.take(*line)
    assert (store.asked, sent(found)) == (1, [])
    store.answer.set_result(subscriptions((ACME,)))
    await calm()
    assert sent(found) == list(range(len(line)))
    assert [message.ends for message in line] == [["ack"]] * len(line)


async def test_an_instance_whose_events_never_pause_is_in_line_no_longer_than_the_first_answer_takes(
    rig: MakeRig,
) -> None:
    found = rig()
    store = Store(found)
    for number, message in enumerate(messages(200)):
        found.pipeline.take(message)
        if number == 100:
            store.answer.set_result(subscriptions((ACME,)))
            found.webhooks.known["acme"] = (ACME,)
        await asyncio.sleep(0)
        if number > 120:
            assert not found.pipeline._unknown.awaits("acme")
    await calm()
    assert sent(found) == list(range(200))


async def test_a_store_that_does_not_answer_is_asked_once_for_the_whole_line(rig: MakeRig) -> None:
    found = rig()
    store, line = Store(found), messages(3 * EVENTS_AT_ONCE)
    await found.take(*line)
    store.answer.set_exception(ConfigUnavailable("the store is down"))
    await calm()
    assert store.asked == 1
    assert found.recorder.outcomes == ["Parked config_unavailable"] * len(line)


async def test_the_drain_deadline_parks_the_whole_line(rig: MakeRig) -> None:
    found = rig()
    Store(found)
    line = messages(2 * EVENTS_AT_ONCE)
    await found.take(*line)
    await found.pipeline.drain(0.01)
    assert found.recorder.outcomes == ["Parked shutdown"] * len(line)
    assert [message.ends for message in line] == [["ack"]] * len(line)


async def test_a_lookup_that_fails_by_a_fault_of_ours_ends_the_whole_line(
    rig: MakeRig, caplog: pytest.LogCaptureFixture
) -> None:
    found = rig()
    store, line = Store(found), messages(2)
    await found.take(*line)
    store.answer.set_exception(ZeroDivisionError("ours"))
    await calm()
    assert found.recorder.outcomes == ["DeadLettered internal"] * 2
    assert "a task failed unexpectedly" in caplog.text
    assert not found.pipeline._unknown.awaits("acme")

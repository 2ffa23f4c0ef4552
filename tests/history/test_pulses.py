"""Signs of life on their way to the queue: the newest of each instance, kept while RabbitMQ takes nothing."""

from __future__ import annotations

import asyncio

import pytest

from tests.history.fakes import FakeQueue
from worker.delivery.ports import PublishFailed
from worker.domain.event import Event, parse
from worker.domain.silence.pulse import Pulse
from worker.history import pulses
from worker.history.pulses import InstancePulses


def event(name: str, instance: str = "acme", data: str = "{}") -> Event:
    return parse(f'{{"event":"{name}","instance":"{instance}","data":{data}}}'.encode())


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def heard(queue: FakeQueue) -> InstancePulses:
    return InstancePulses(queue.send)


async def test_the_newest_of_each_kind_is_sent_once(queue: FakeQueue, heard: InstancePulses) -> None:
    for at in (1.0, 2.5):
        heard.heard(event("messages.upsert"), at)
        heard.heard(event("presence.update"), at + 1)
        heard.heard(event("Message", "go"), at)
    heard.heard(event("connection.update", "shop", '{"state":"close"}'), 4)
    heard.heard(event("connection.update", "shop", "7"), 5)
    await heard.finish(1)
    await heard.finish(1)
    assert queue.pulses == [
        Pulse("acme", 2500, 3500),
        Pulse("go", 2500),
        Pulse("shop", None, 5000, False, 4000),
    ]


async def test_an_event_of_another_kind_says_nothing_of_a_connection(queue: FakeQueue, heard: InstancePulses) -> None:
    heard.heard(event("call", data='{"state":"open"}'), 1)
    await heard.finish(1)
    assert queue.pulses == [Pulse("acme", None, 1000)]


async def test_what_rabbitmq_does_not_take_waits_and_gives_way_to_what_is_newer(
    queue: FakeQueue, heard: InstancePulses
) -> None:
    queue.failure = PublishFailed("away")
    heard.heard(event("messages.upsert"), 1)
    heard.heard(event("connection.update", data='{"state":"open"}'), 1)
    await heard.finish(1)
    heard.heard(event("messages.upsert"), 9)
    queue.failure = None
    await heard.finish(1)
    assert queue.pulses == [Pulse("acme", 9000, 1000, True, 1000)]


async def test_many_instances_are_several_messages(queue: FakeQueue, heard: InstancePulses) -> None:
    for number in range(1001):
        heard.heard(event("call", f"shop {number}"), 1)
    await heard.finish(1)
    assert (len(queue.bodies), len(queue.pulses)) == (3, 1001)


async def test_it_is_sent_every_period(
    queue: FakeQueue, heard: InstancePulses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulses, "PERIOD_SECONDS", 0.01)
    heard.heard(event("call"), 1)
    running = asyncio.ensure_future(heard.run())
    async with asyncio.timeout(5):
        while not queue.bodies:
            await asyncio.sleep(0.01)
    running.cancel()
    assert queue.pulses == [Pulse("acme", None, 1000)]


async def test_an_end_does_not_wait_for_a_broker_that_is_away(queue: FakeQueue, heard: InstancePulses) -> None:
    queue.release.clear()
    heard.heard(event("call"), 1)
    await heard.finish(0.01)
    assert queue.pulses == []

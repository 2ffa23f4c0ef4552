"""Publishes to sidings over one channel: what goes wrong at one is repeated there, and stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractConnection

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import MAX_MESSAGE_SIZE, LocalBroker
from tests.support.waiting import until
from worker.broker.connection import close, connect
from worker.broker.ordered import siding_outbox
from worker.broker.ordered.siding_outbox import SidingOutbox, SidingsChannel


class Siding:
    """A siding's core: notes confirms, and how often it was told to repeat."""

    def __init__(self, queue: str, channel: SidingsChannel) -> None:
        self.confirmed: list[int] = []
        self.failures = 0
        self.outbox = SidingOutbox(queue, channel, channel.opened, self.confirmed.append, self._failed)

    def _failed(self) -> None:
        self.failures += 1

    def publish(self, *serials: int, size: int = 2) -> None:
        for serial in serials:
            self.outbox.publish(serial, b"x" * size, {"serial": serial})


@pytest.fixture
async def connection(broker: LocalBroker) -> AsyncIterator[AbstractConnection]:
    opened = await connect(broker.uri, "test-sidings", cuts=True)
    yield opened
    await close(opened)


@pytest.fixture
async def channel(connection: AbstractConnection, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SidingsChannel]:
    monkeypatch.setattr(siding_outbox, "AGAIN_SECONDS", 0.01)
    shared = SidingsChannel(lambda: connection)
    yield shared
    await shared.close()


@pytest.fixture
async def queues(amqp: Amqp, names: Names) -> list[str]:
    """Of two sidings."""
    found = [f"{names.ordered}.{number}" for number in (1, 2)]
    for queue in found:
        await amqp.declare_queue(queue)
    return found


async def serials(amqp: Amqp, queue: str) -> list[object]:
    return [message.headers["serial"] for message in await amqp.drain(queue)]


async def test_a_queue_that_is_gone_fails_its_own_siding_alone(
    channel: SidingsChannel, amqp: Amqp, queues: list[str]
) -> None:
    here, gone = queues
    first, second = Siding(here, channel), Siding(gone, channel)
    first.publish(1)
    second.publish(1)
    await until(lambda: first.confirmed == second.confirmed == [1], "both are there")
    await amqp.channel.queue_delete(gone)
    second.publish(2, 3)
    first.publish(2, 3)
    await until(lambda: second.failures == 1, "the core of the second hears of it, once")
    first.publish(4)
    await until(lambda: first.confirmed == [1, 2, 3, 4], "the first goes on")
    assert (first.failures, second.confirmed) == (0, [1])
    await amqp.declare_queue(gone)
    second.publish(4, 5)
    await until(lambda: second.confirmed == [1, 4, 5], "what is repeated arrives")
    assert (await serials(amqp, here), await serials(amqp, gone)) == ([1, 2, 3, 4], [4, 5])


async def test_nothing_goes_out_between_a_failure_and_its_being_told(
    channel: SidingsChannel, amqp: Amqp, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = f"{names.ordered}.1"
    siding = Siding(queue, channel)
    monkeypatch.setattr(siding_outbox, "AGAIN_SECONDS", 60.0)
    siding.publish(1)
    await until(lambda: siding.outbox._broken, "the first is returned")
    await amqp.declare_queue(queue)
    siding.publish(2, 3)
    await (await channel.opened()).publish(queue, b"{}", {"serial": 9}, "9")
    assert (siding.failures, siding.confirmed) == (0, [])
    assert await serials(amqp, queue) == [9]


async def test_what_was_begun_on_a_channel_that_closed_does_not_go_on_on_another_one(
    channel: SidingsChannel, amqp: Amqp, queues: list[str]
) -> None:
    """The first of two events fails with the old channel, and the second must not pass it on the new one."""
    idle, other = (Siding(queue, channel) for queue in queues)
    idle.publish(1)
    await until(lambda: idle.confirmed == [1], "it is there")
    await channel.close()
    other.publish(1)
    await until(lambda: other.confirmed == [1], "the other one has opened a channel anew")
    idle.publish(2, 3)
    await until(lambda: idle.failures == 1, "both are to be repeated")
    assert idle.confirmed == [1]
    idle.publish(4, 5, 6)
    await until(lambda: idle.confirmed == [1, 4, 5, 6], "they are")
    assert await serials(amqp, queues[0]) == [1, 4, 5, 6]


async def test_the_first_goes_alone_and_the_rest_only_behind_its_confirm(
    channel: SidingsChannel, amqp: Amqp, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = f"{names.ordered}.1"
    siding = Siding(queue, channel)
    monkeypatch.setattr(siding_outbox, "AGAIN_SECONDS", 60.0)
    siding.publish(1, 2, 3)
    await until(lambda: siding.outbox._broken, "the first is returned: there is no such queue yet")
    await amqp.declare_queue(queue)
    assert list(siding.outbox._under_way) == [1], "neither of those behind it was sent"


async def test_what_is_too_large_costs_the_others_the_channel_once(
    channel: SidingsChannel, queues: list[str], broker: LocalBroker
) -> None:
    small, large = (Siding(queue, channel) for queue in queues)
    await asyncio.to_thread(broker.max_message_size, 50_000)
    try:
        large.publish(1, size=60_000)
        await until(lambda: large.failures == 1, "RabbitMQ has closed the channel")
        large.publish(2, size=60_000)
        small.publish(2)
        await until(lambda: large.failures == 2, "it is refused here")
        await until(lambda: small.confirmed == [2], "the other one goes on")
        assert small.failures == 0
    finally:
        await asyncio.to_thread(broker.max_message_size, MAX_MESSAGE_SIZE)

"""Publishes on a channel with confirms: in order, in few writes, and none outlives its connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from aiormq.exceptions import PublishError
from pamqp.commands import Basic

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import MAX_MESSAGE_SIZE, LocalBroker
from worker.broker.connection import close, connect
from worker.broker.declare import open_channel
from worker.broker.publishing.outbox import Outbox, QueueMissing, QueueRejects
from worker.broker.publishing.publisher import Publisher
from worker.delivery.ports import PublishFailed, TooLarge


class StuckQueue:
    """aiormq's write queue as it leaves it when its connection dies while the queue is full: nobody is woken."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()

    async def put(self, _: object) -> None:
        self.entered.set()
        await asyncio.Event().wait()


class StuckChannel:
    number, max_content_size, delivery_tag, is_closed, connection = 1, 131_064, 0, False, None

    def __init__(self) -> None:
        self.closing = asyncio.get_running_loop().create_future()
        self.confirmations: dict[int, object] = {}
        self.message_id_delivery_tag: dict[str, int] = {}
        self.write_queue = StuckQueue()


async def _nothing(_: object) -> None:
    return None


def stuck_publisher() -> tuple[Publisher, StuckChannel]:
    publisher, channel = Publisher(cast("Any", None), _nothing, lambda _: None), StuckChannel()
    publisher._outbox = Outbox(cast("Any", channel))
    return publisher, channel


async def test_no_publish_outlives_its_connection() -> None:
    publisher, channel = stuck_publisher()
    publish = publisher.publish("webhooks.retry.5s", b"{}", {})
    await channel.write_queue.entered.wait()
    behind = publisher.publish("webhooks.retry.5s", b"{}", {})
    await asyncio.sleep(0)
    publisher.state(False)
    for lost in (publish, behind):
        with pytest.raises(PublishFailed, match="the connection was lost"):
            async with asyncio.timeout(5):
                await lost
    await asyncio.sleep(0)
    assert publisher.oldest_unconfirmed == 0
    assert not channel.confirmations, "a dead channel would hold their bodies until the collector comes"
    with pytest.raises(PublishFailed, match="no connection"):
        await publisher.publish("webhooks.retry.5s", b"{}", {})


async def test_a_publish_that_its_caller_gives_up_is_cancelled_not_failed() -> None:
    publisher, channel = stuck_publisher()
    publish = publisher.publish("webhooks.retry.5s", b"{}", {})
    await channel.write_queue.entered.wait()
    publish.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publish
    publisher.state(False)  # has nothing left to end


async def test_a_return_that_comes_after_its_publish_was_given_up_changes_nothing() -> None:
    """aiormq sets the exception without asking: an InvalidStateError there would end the channel for all."""
    publisher, _ = stuck_publisher()
    publish = publisher.publish("webhooks.retry.5s", b"{}", {})
    publish.cancel()
    publish.set_exception(PublishError.__new__(PublishError))
    assert publish.cancelled()
    publisher.state(False)


# On a real broker


@pytest.fixture(params=[True, False], ids=["confirms cut", "confirms by aiormq"])
async def connection(broker: LocalBroker, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    connection = await connect(broker.uri, "test publisher", cuts=request.param)
    yield connection
    await close(connection)


@pytest.mark.parametrize("size", [0, 1, 131_063, 131_064, 131_065, 1_000_000])
async def test_bodies_of_any_size_arrive_whole(connection: Any, amqp: Amqp, names: Names, size: int) -> None:
    await amqp.declare_queue(names.events)
    outbox = Outbox(await open_channel(connection, confirms=True))
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    await outbox.publish(names.events, body, {"x": 1}, str(1))
    await outbox.publish(names.events, b"next", {"x": 2}, str(2))
    first, second = await amqp.drain(names.events)
    assert (first.body, second.body) == (body, b"next")
    assert first.headers["x"] == 1


async def test_every_publish_gets_its_own_answer(connection: Any, amqp: Amqp, names: Names) -> None:
    """Confirmed, returned (no such queue) and rejected (full), mixed and many at once."""
    await amqp.declare_queue(names.events)
    await amqp.declare_queue(names.dead, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    outbox = Outbox(await open_channel(connection, confirms=True))
    await outbox.publish(names.dead, b"fills it", {"x": 0}, str(0))
    await amqp.wait_depth(names.dead, 1)
    await outbox.publish(names.dead, b"one more than it holds", {"x": 1}, str(1))  # quorum queues notice late
    queues = [(names.events, "no-such-queue", names.dead)[number % 3] for number in range(300)]
    answers = await asyncio.gather(
        *(outbox.publish(queue, b"%d" % n, {"x": n + 2}, str(n + 2)) for n, queue in enumerate(queues)),
        return_exceptions=True,
    )
    pairs = list(zip(queues, answers, strict=True))
    kinds = {queue: {type(answer) for to, answer in pairs if to == queue} for queue in queues}
    assert kinds == {names.events: {Basic.Ack}, "no-such-queue": {QueueMissing}, names.dead: {QueueRejects}}
    await amqp.wait_depth(names.events, 100)


async def test_what_is_given_up_before_it_is_sent_is_not_sent_and_mixes_up_no_confirms(
    connection: Any, amqp: Amqp, names: Names
) -> None:
    await amqp.declare_queue(names.events)
    outbox = Outbox(await open_channel(connection, confirms=True))
    publishes = [outbox.publish(names.events, b"%d" % number, {"x": number}, str(number)) for number in range(10)]
    for given_up in publishes[::2]:
        given_up.cancel()
    await asyncio.gather(*publishes[1::2])
    await amqp.wait_depth(names.events, 5)
    assert [message.body for message in await amqp.drain(names.events)] == [b"1", b"3", b"5", b"7", b"9"]


async def test_what_cannot_be_encoded_ends_by_itself_and_mixes_up_no_confirms(
    connection: Any, amqp: Amqp, names: Names
) -> None:
    await amqp.declare_queue(names.events)
    outbox = Outbox(await open_channel(connection, confirms=True))
    headers: list[Any] = [{"x": 1}, {"x": 2**64}, {"x": "\ud800"}, {"x": 2}]
    publishes = [outbox.publish(names.events, b"%d" % n, each, str(n)) for n, each in enumerate(headers)]
    answers = await asyncio.gather(*publishes, return_exceptions=True)
    failures = [type(answer) if isinstance(answer, BaseException) else None for answer in answers]
    assert failures == [None, PublishFailed, PublishFailed, None]
    assert [message.body for message in await amqp.drain(names.events)] == [b"0", b"3"]


async def test_headers_that_no_frame_holds_take_no_connection_down_for_others(
    connection: Any, amqp: Amqp, names: Names
) -> None:
    await amqp.declare_queue(names.events)
    channel = await open_channel(connection, confirms=True)
    outbox = Outbox(channel)
    sizes = (1, channel.max_content_size - 60, channel.max_content_size, 2)
    publishes = [outbox.publish(names.events, b"%d" % n, {"x": "y" * n}, str(n)) for n in sizes]
    answers = await asyncio.gather(*publishes, return_exceptions=True)
    assert [isinstance(answer, TooLarge) for answer in answers] == [False, False, True, False]
    assert [message.body for message in await amqp.drain(names.events)] == [b"%d" % n for n in (*sizes[:2], 2)]
    assert not channel.is_closed


async def test_a_closed_channel_ends_what_waits_for_its_confirm(connection: Any, names: Names) -> None:
    channel = await open_channel(connection, confirms=True)
    outbox = Outbox(channel)
    waiting = outbox.publish(names.events, b"{}", {"x": 1}, str(1))
    outbox.close()
    with pytest.raises(PublishFailed, match="the connection was lost"):
        await waiting
    await channel.close()
    with pytest.raises(PublishFailed, match="the channel is closed"):
        await outbox.publish(names.events, b"{}", {"x": 2}, str(2))


async def test_a_message_above_the_brokers_limit_takes_no_channel_down_for_others(
    broker: LocalBroker, names: Names, amqp: Amqp
) -> None:
    await amqp.declare_queue(names.retry(5))
    await asyncio.to_thread(broker.max_message_size, 50_000)
    connection = await connect(broker.uri, "test")
    try:
        publisher = Publisher(cast("Any", None), _nothing, lambda _: None)
        await publisher.opened(connection)
        outbox, broken = publisher._outbox, asyncio.ensure_future(publisher.broken())
        sizes = [10, 60_000, 20_000, 1_000, 50_000, 70_000, 30_000, 10]
        ends = await asyncio.gather(
            *(publisher.publish(names.retry(5), b"x" * size, {}) for size in sizes), return_exceptions=True
        )
        assert [isinstance(end, TooLarge) for end in ends] == [size > 50_000 for size in sizes]
        assert [size for size, end in zip(sizes, ends, strict=True) if isinstance(end, Exception)] == [60_000, 70_000]
        assert publisher._outbox is outbox
        assert not broken.done()
        broken.cancel()
    finally:
        await close(connection)
        await asyncio.to_thread(broker.max_message_size, MAX_MESSAGE_SIZE)
    await amqp.wait_depth(names.retry(5), 6)

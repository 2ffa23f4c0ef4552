"""One channel: what it holds, and that the broker knows of every ack before it is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiormq.abc import ChannelFrame
from aiormq.exceptions import ChannelNotFoundEntity
from pamqp import frame
from pamqp.commands import Basic

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.waiting import Facts, eventually
from worker.broker.connection import close, connect
from worker.broker.consuming.consumption import ACK_PERIOD_SECONDS, Consumer, Consumption, Held
from worker.broker.consuming.redeliveries import Redeliveries
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.declare import open_channel
from worker.broker.past_headers import PREFIX
from worker.delivery.ports import Early

MEBIBYTE = 2**20


def delivered(tag: int, body: bytes = b"12345", *, again: bool = False) -> Any:
    header = SimpleNamespace(properties=SimpleNamespace(headers={"x-delivery-count": 1} if again else None))
    header.properties.message_id = None
    return SimpleNamespace(header=header, body=body, exchange="e", routing_key="k", delivery_tag=tag, redelivered=again)


class FakeChannel:
    """Notes what is told; what it is asked, it answers at once."""

    number = 1
    is_closed = False
    connection = None

    def __init__(self) -> None:
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_consumer_cancel_callbacks: set[Any] = set()
        self.consumers: dict[str, Any] = {}
        self.told: list[tuple[str, int, bool]] = []
        self.write_queue = self

    async def put(self, written: ChannelFrame) -> None:
        """What is written to the connection: acks and nacks alone, one frame after the other."""
        rest = written.payload
        while rest:
            size, channel, told = frame.unmarshal(rest)
            assert (channel, type(told) in {Basic.Ack, Basic.Nack}) == (self.number, True)
            kind = "ack" if isinstance(told, Basic.Ack) else "nack" if told.requeue else "reject"
            self.told.append((kind, told.delivery_tag, told.multiple))
            rest = rest[size:]

    async def rpc(self, _: object) -> None: ...

    async def basic_qos(self, *, prefetch_count: int) -> None: ...

    async def basic_cancel(self, tag: str) -> None:
        del self.consumers[tag]


@dataclass
class Rig:
    """A consumption of the queue `q` on a fake channel."""

    channel: FakeChannel = field(default_factory=FakeChannel)
    messages: list[TakenMessage] = field(default_factory=list)
    held: Held = field(default_factory=lambda: Held(MEBIBYTE))
    redeliveries: Redeliveries[TakenMessage] = field(default_factory=lambda: Redeliveries(lambda: 0.0))
    changes: int = 0
    early: Early | None = None

    async def start(self) -> Consumption:
        """On another channel than before."""
        channel: Any = FakeChannel()
        self.channel = channel
        self.consumption = Consumption(channel, self._take, self.held, self._changed, self.redeliveries, self.early)
        await self.consumption.consume([Consumer("q", 10)], 1.0)
        return self.consumption

    async def deliver(self, *tags: int, again: bool = False, body: bytes = b"12345") -> None:
        (callback,) = self.channel.consumers.values()
        for tag in tags:
            await callback(delivered(tag, body, again=again))

    def _take(self, message: TakenMessage) -> None:
        message.begun = True
        self.messages.append(message)

    def _changed(self) -> None:
        self.changes += 1


async def test_what_comes_after_the_end_is_not_held() -> None:
    rig = Rig()
    consumption = await rig.start()
    await rig.deliver(1, 2)
    assert rig.held.bytes == 10
    consumption.close()
    await rig.deliver(3)  # aiormq passes on what it had read before
    assert (rig.held.bytes, len(rig.messages), consumption.taken) == (0, 2, 0)


async def test_a_channel_that_closes_by_itself_gives_its_bytes_free_at_once() -> None:
    rig = Rig()
    consumption = await rig.start()
    await rig.deliver(1)
    rig.channel.closing.set_exception(ChannelNotFoundEntity("the queue is gone"))
    await asyncio.wait([rig.channel.closing])
    await asyncio.sleep(0)
    assert consumption.closed
    assert rig.messages[0].lost
    assert (rig.held.bytes, rig.changes) == (0, 1)


async def test_acks_are_told_before_messages_are_handed_back() -> None:
    rig = Rig()
    consumption = await rig.start()
    await rig.deliver(1, 2, 3, 4)
    for message in (rig.messages[1], rig.messages[2]):
        message.hand_back()
    rig.messages[3].reject()
    rig.messages[0].ack()
    await consumption.flushed()
    assert rig.channel.told == [("ack", 1, True), ("nack", 2, False), ("nack", 3, False), ("reject", 4, False)]


class Odd:
    """ports.Early: a body that begins with 1 has ended."""

    def passes(self, body: bytes) -> bool:
        return body[0] == 1


async def test_what_ends_as_it_comes_is_acked_and_never_a_message() -> None:
    rig = Rig(early=Odd())
    consumption = await rig.start()
    for tag, first in enumerate([1, 2, 0, 1, 1], 1):
        await rig.deliver(tag, body=bytes([first]))
    assert [message.tag for message in rig.messages] == [2, 3]
    assert (rig.held.bytes, consumption.taken) == (2, 5)
    for message in rig.messages:
        message.ack()
    await consumption.flushed()
    assert rig.channel.told == [("ack", 5, True)]


@pytest.mark.parametrize(
    ("odd", "asked"),
    [
        ({"redelivered": True}, False),
        ({"headers": {PREFIX + "event-id": "e"}}, False),
        ({"headers": {PREFIX + "event-id": 7, "x-other": 1}}, False),
        ({"exchange": ""}, False),
        ({"headers": {"x-shovelled": True, "traceparent": "00-1-2-01"}}, True),
        ({"headers": {}}, True),
    ],
)
async def test_only_what_an_exchange_brings_for_the_first_time_and_without_a_past_ends_as_it_comes(
    odd: dict[str, Any], asked: bool
) -> None:
    rig = Rig(early=Odd())
    consumption = await rig.start()
    usual = {"body": b"\1", "headers": {}, "message_id": None, "exchange": "e", "routing_key": "k"}
    consumption._taken("q", **{**usual, "tag": 1, "redelivered": False, **odd})
    assert len(rig.messages) == (0 if asked else 1)


async def test_the_acks_of_what_ends_as_it_comes_are_sent_by_themselves() -> None:
    rig = Rig(early=Odd())
    await rig.start()
    await rig.deliver(1, 2, 3, body=b"\1")

    async def told() -> list[tuple[str, int, bool]]:
        return rig.channel.told

    await eventually(told, bool, 5, "its ack")
    assert rig.channel.told == [("ack", 3, True)]


async def test_what_ends_as_it_comes_on_a_channel_that_is_gone_is_not_counted() -> None:
    rig = Rig(early=Odd())
    consumption = await rig.start()
    consumption.close()
    await rig.deliver(1, body=b"\1")
    assert (consumption.taken, rig.channel.told) == (0, [])


# Delivered again


async def test_what_was_settled_when_its_channel_broke_is_acked_when_it_comes_again() -> None:
    rig = Rig()
    consumption = await rig.start()
    await rig.deliver(1, 2, 3)
    rig.messages[0].ack()  # not told any more
    consumption.close()
    rig.messages[1].ack()
    again = await rig.start()
    await rig.deliver(1, 2, 3, again=True)
    await again.flushed()
    assert len(rig.messages) == 3  # three equal messages: the third, still handled, goes on
    assert rig.channel.told == [("ack", 2, False), ("ack", 3, False)]
    rig.messages[2].ack()
    await again.flushed()
    assert rig.channel.told[2:] == [("ack", 1, True)]
    assert rig.held.bytes == 0


async def test_what_is_handled_goes_on_on_the_channel_that_delivers_it_again() -> None:
    rig = Rig()
    consumption = await rig.start()
    await rig.deliver(1)
    consumption.close()
    (message,) = rig.messages
    assert (message.lost, rig.held.bytes) == (True, 0)
    again = await rig.start()
    await rig.deliver(1, again=True)
    assert (message.lost, rig.held.bytes, len(rig.messages)) == (False, 5, 1)
    message.ack()
    await again.flushed()
    assert (rig.channel.told, rig.held.bytes) == ([("ack", 1, True)], 0)


async def test_what_was_told_handed_back_or_never_begun_is_handled_when_it_comes_again() -> None:
    rig = Rig()
    consumption = await rig.start()
    await rig.deliver(1, 2, 3)
    rig.messages[0].ack()
    await consumption.flushed()  # told: the broker may know
    rig.messages[1].begun = False  # waited in the inbox
    consumption.close()
    rig.messages[2].hand_back()
    await rig.start()
    await rig.deliver(1, 2, 3, again=True)
    assert len(rig.messages) == 6


async def test_what_is_remembered_is_told_no_more_though_the_channel_lives_a_moment_longer() -> None:
    rig = Rig()
    consumption = await rig.start()
    await rig.deliver(1)
    rig.messages[0].ack()
    before = rig.channel
    consumption.close()
    await asyncio.sleep(3 * ACK_PERIOD_SECONDS)  # in which it would have been told
    assert before.told == []
    again = await rig.start()
    await rig.deliver(1, again=True)
    await again.flushed()
    assert (rig.channel.told, len(rig.messages)) == ([("ack", 1, True)], 1)


async def test_a_message_that_is_not_delivered_again_is_always_handled() -> None:
    rig = Rig()
    consumption = await rig.start()
    await rig.deliver(1, 2)
    consumption.close()
    rig.messages[0].ack()
    await rig.start()
    await rig.deliver(1, 2)
    assert len(rig.messages) == 4


@pytest.fixture
async def connection(broker: LocalBroker) -> AsyncIterator[Any]:
    connection = await connect(broker.uri, "test consumption")
    yield connection
    await close(connection)


ROUNDS, COUNT = 2, 1600


class Taker:
    """Keeps what comes; `wait_for` so many."""

    def __init__(self) -> None:
        self.messages: list[TakenMessage] = []
        self._facts = Facts()
        self._telling: set[asyncio.Future[None]] = set()

    def take(self, message: TakenMessage) -> None:
        self.messages.append(message)
        self._telling.add(asyncio.ensure_future(self._facts.changed()))

    async def wait_for(self, count: int) -> None:
        await self._facts.wait_for(lambda: len(self.messages) == count, 15, lambda: f"{len(self.messages)}")


async def test_no_ack_is_lost_when_the_channel_closes_right_after(connection: Any, amqp: Amqp, names: Names) -> None:
    """Half are acked one by one between others that stay open: far more commands than RabbitMQ sends on at once."""
    await amqp.declare_queue(names.events)
    for _ in range(ROUNDS):
        for start in range(0, COUNT, 100):
            numbers = range(start, start + 100)
            await asyncio.gather(*(amqp.publish("", names.events, b"x", message_id=str(n)) for n in numbers))
        taker, channel = Taker(), await open_channel(connection)
        consumption = Consumption(channel, taker.take, Held(MEBIBYTE), lambda: None, Redeliveries(lambda: 0.0))
        await consumption.consume([Consumer(names.events, 2000)], 1.0)
        await taker.wait_for(COUNT)
        await consumption.cancel()
        for message in taker.messages[1::2]:
            message.ack()
        await consumption.flushed()
        await channel.close()
        await amqp.wait_depth(names.events, COUNT // 2)
        await amqp.purge(names.events)

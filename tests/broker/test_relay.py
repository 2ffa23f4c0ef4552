"""Consuming that goes on on another channel while receivers hang: nothing is lost, repeated or overtaken by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.broker.test_consumption import Rig
from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.proxy import CONSUME, Proxy
from tests.support.waiting import Facts, until
from worker.basics.tasks import end
from worker.broker.connection import Supervisor
from worker.broker.consuming import acks, consumers, relay
from worker.broker.consuming.consumers import Consumers
from worker.broker.consuming.consumption import Consumer, Consumption
from worker.broker.consuming.plan import ConsumptionPlan
from worker.broker.consuming.relay import MOST_LEFT, REST_SECONDS, STORED_SECONDS, Relay
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.topology import topology


class Hanging:
    """Consumers that settle at once what comes, but what begins with `hang`."""

    def __init__(self, uri: str, names: Names) -> None:
        self.bodies: list[bytes] = []
        self.hanging: list[TakenMessage] = []
        self.facts = Facts()
        plan = ConsumptionPlan(topology(names.prefix, names.exchange, (5,)), 50, declares=True)
        self.consumers = Consumers(self._handle, plan.prepare, plan.groups, 1 << 20, lambda _: None)
        supervisor = Supervisor(uri, "test worker consume", self.consumers, lambda low, high: low, cuts=True)
        self.task = asyncio.create_task(supervisor.run())

    @property
    def relay(self) -> Relay:
        return self.consumers._relays[0]

    @property
    def left(self) -> list[Consumption]:
        return list(self.relay._left) if self.consumers._relays else []

    async def wait_count(self, count: int) -> None:
        await self.facts.wait_for(lambda: len(self.bodies) >= count, 15, lambda: f"consumed {self.bodies}")

    async def wait_left(self, count: int) -> None:
        await until(lambda: len(self.left) == count, f"{count} channels left")

    def settle(self) -> None:
        while self.hanging:
            self.hanging.pop().ack()

    def _handle(self, message: TakenMessage) -> None:
        self.bodies.append(message.body)
        if message.body.startswith(b"hang"):
            self.hanging.append(message)
        else:
            message.ack()
        self._telling = asyncio.ensure_future(self.facts.changed())


@pytest.fixture
async def start(
    broker: LocalBroker, names: Names, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    """Consumers that move as soon as one message goes behind two that hang, and look fifty times a second."""
    monkeypatch.setattr(acks, "PATIENCE", 3)
    monkeypatch.setattr(acks, "DEAR_WALK", 0)
    monkeypatch.setattr(relay, "STORED_SECONDS", 0.3)
    monkeypatch.setattr(relay, "WORTH_IT", 2)
    monkeypatch.setattr(relay, "REST_SECONDS", 0.0)
    monkeypatch.setattr(consumers, "WATCH_SECONDS", 0.02)
    running: list[Hanging] = []

    def started(uri: str = broker.uri) -> Hanging:
        running.append(Hanging(uri, names))
        return running[-1]

    yield started
    await end(*(one.task for one in running))


async def publish(amqp: Amqp, names: Names, *bodies: bytes) -> list[bytes]:
    """Together: the queue has some of them ready all the time."""
    await asyncio.gather(*(amqp.publish("", names.events, body, message_id=body.decode()) for body in bodies))
    return list(bodies)


async def moved(start: Callable[..., Hanging], amqp: Amqp, names: Names, *uri: str) -> Hanging:
    """With two messages that hang on the channel that was left, and six that came."""
    hanging = start(*uri)
    await amqp.wait_queue(names.events)
    await publish(amqp, names, b"hang 1", b"hang 2", *(b"before %d" % number for number in range(4)))
    await hanging.wait_left(1)
    await hanging.wait_count(6)
    return hanging


async def test_it_goes_on_in_order_and_acks_on_both_channels(
    start: Callable[..., Hanging], amqp: Amqp, names: Names
) -> None:
    hanging = start()
    await amqp.wait_queue(names.events)
    sent = await publish(amqp, names, b"hang 1", b"hang 2")
    while not hanging.left:
        sent += await publish(amqp, names, *(b"%d" % (len(sent) + number) for number in range(20)))
    sent += await publish(amqp, names, *(b"after %d" % number for number in range(60)))
    await hanging.wait_count(len(sent))
    assert hanging.bodies == sent
    assert hanging.consumers.taken(0) == len(sent)
    relay, left = hanging.relay, hanging.left
    hanging.settle()
    await hanging.wait_left(0)
    await until(lambda: all(one._channel.is_closed for one in left), "the channels are closed")
    assert (hanging.consumers.taken(0), hanging.consumers.held_bytes) == (len(sent), 0)
    assert hanging.relay is relay, "on the same connection"
    await end(hanging.task)
    assert await amqp.drain(names.events) == []


async def test_a_second_move_leaves_the_first_ones_messages_where_they_are(
    start: Callable[..., Hanging], amqp: Amqp, names: Names
) -> None:
    hanging = await moved(start, amqp, names)
    await publish(amqp, names, b"hang 3", b"hang 4", *(b"between %d" % number for number in range(4)))
    await hanging.wait_left(2)
    hanging.settle()
    await hanging.wait_left(0)
    assert hanging.consumers.taken(0) == 12
    await end(hanging.task)
    assert await amqp.drain(names.events) == []


async def test_after_a_drain_what_hung_on_the_channel_before_is_acked_too(
    start: Callable[..., Hanging], amqp: Amqp, names: Names
) -> None:
    hanging = await moved(start, amqp, names)
    await hanging.consumers.stop()
    (one, other), hanging.hanging = hanging.hanging, []
    one.ack()
    await hanging.consumers.flushed()
    await end(hanging.task)
    assert [message.body for message in await amqp.drain(names.events)] == [other.body]


async def test_what_hangs_on_the_channel_before_is_known_again_after_a_lost_connection(
    start: Callable[..., Hanging], broker: LocalBroker, amqp: Amqp, names: Names
) -> None:
    async with Proxy(broker.port) as proxy:
        hanging = await moved(start, amqp, names, proxy.uri())
        (await proxy.link(CONSUME)).reset()
        await publish(amqp, names, b"later")
        await hanging.wait_count(7)
        assert hanging.bodies[6:] == [b"later"]
        await until(lambda: not any(message.lost for message in hanging.hanging), "both have come again")
        assert hanging.consumers.taken(0) == 7
        hanging.settle()
        await hanging.consumers.flushed()
        await end(hanging.task)
        assert await amqp.drain(names.events) == []


async def test_a_channel_that_was_left_and_breaks_is_noticed(
    start: Callable[..., Hanging], amqp: Amqp, names: Names
) -> None:
    hanging = await moved(start, amqp, names)
    assert hanging.relay.healthy
    before, left = hanging.relay, hanging.left[0]
    await left._channel.basic_ack(999)
    await until(lambda: left.closed, "the broker has closed it")
    await until(lambda: bool(hanging.consumers._relays) and hanging.relay is not before, "connected anew")
    in_hand = {b"hang 1", b"hang 2"}
    await until(lambda: {m.body for m in hanging.hanging if not m.lost} == in_hand, "both have come again")
    hanging.settle()
    await hanging.consumers.flushed()
    await end(hanging.task)
    assert await amqp.drain(names.events) == []


async def dear(rig: Rig) -> Consumption:
    """A channel on which sixteen hang, and whose acks have become dear."""
    made = await rig.start()
    made._ledger.expect(10)
    await rig.deliver(*range(1, 17))
    for _ in range(acks.PATIENCE):
        made._ledger.take()
    made._ledger._walked = acks.DEAR_WALK + 1
    return made


async def test_it_moves_when_acks_are_dear_because_of_what_hangs_but_rests_between() -> None:
    rig, now = Rig(), [100.0]
    one = Relay(await dear(rig), lambda: now[0])
    assert not one.due, "it consumes nothing yet"
    await one.consume([Consumer("q", 10)], 1.0)
    assert one.due
    await one.move(await dear(rig))
    assert not one.due
    now[0] += REST_SECONDS
    assert one.due
    rig.messages[-1].ack()
    assert not one.due, "fifteen are passed at once"


async def test_each_queue_has_one_consumer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two, RabbitMQ would give an event to one channel and the next to the other, in no order."""
    rig, group, seen = Rig(), [Consumer("q", 10), Consumer("other", 10)], []
    one = Relay(await dear(rig), lambda: 0.0)
    await one.cancel()
    await one.consume(group, 1.0)
    consume, before = Consumption.consume, one._current

    async def consumed(fresh: Consumption, consumers: list[Consumer], share: float) -> None:
        seen.append((set(before._tags), [consumer.queue for consumer in consumers], share))
        await consume(fresh, consumers, share)

    monkeypatch.setattr(Consumption, "consume", consumed)
    fresh = await rig.start()
    await fresh.cancel()
    seen.clear()
    await one.move(fresh)
    assert seen == [({"other"}, ["q"], 1.0), (set(), ["other"], 1.0)]
    assert set(fresh._tags) == {"q", "other"}


async def test_it_leaves_no_more_than_eight_channels_and_closes_those_that_are_done() -> None:
    rig, now = Rig(), [0.0]
    one = Relay(await dear(rig), lambda: now[0])
    await one.consume([Consumer("q", 10)], 1.0)
    for _ in range(MOST_LEFT):
        assert one.due
        await one.move(await dear(rig))
        now[0] += REST_SECONDS
    assert not one.due
    for message in rig.messages[:16]:
        message.ack()
    first, taken = next(iter(one._left)), one.taken
    await one.sweep()
    await first.flushed()
    now[0] += STORED_SECONDS / 2
    await one.sweep()
    assert (len(one._left), first._channel.is_closed) == (MOST_LEFT, False), "its acks may not be stored yet"
    now[0] += STORED_SECONDS / 2
    await one.sweep()
    assert (len(one._left), first._channel.is_closed, one.due, one.taken) == (MOST_LEFT - 1, True, True, taken)


async def test_the_watchdog_is_woken_once_when_acks_become_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acks, "DEAR_WALK", 0)
    rig = Rig()
    made = await rig.start()
    await rig.deliver(*range(1, 10))
    for message in rig.messages[1:]:
        message.ack()
        await made.flushed()
    assert (made.dear, rig.changes) == (True, 1)


async def test_a_channel_that_broke_is_not_taken_for_one_that_is_done() -> None:
    rig = Rig()
    made = await rig.start()
    await rig.deliver(1)
    rig.messages[0].ack()
    rig.channel.is_closed = True  # a turn of the loop before it is told
    made._flush()
    assert not made.done


async def test_what_is_paused_does_not_move() -> None:
    rig = Rig()
    one = Relay(await dear(rig), lambda: 100.0)
    await one.consume([Consumer("q", 10)], 1.0)
    await one.cancel()
    assert not one.due

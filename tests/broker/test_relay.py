"""Consuming that goes on on another channel while receivers hang: nothing is lost or repeated by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.broker.test_consumers import Consuming
from tests.broker.test_consumption import Rig
from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.proxy import CONSUME, Proxy
from tests.support.waiting import until
from worker.basics.tasks import end
from worker.broker.consuming import acks, consumers, relay
from worker.broker.consuming.consumption import Consumer, Consumption
from worker.broker.consuming.plan import ConsumptionPlan
from worker.broker.consuming.relay import MOST_LEFT, REST_SECONDS, Relay
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.topology import topology


class Hanging(Consuming):
    """Settles at once what comes, but what begins with `hang`."""

    def __init__(self, uri: str, names: Names) -> None:
        self.hanging: list[TakenMessage] = []
        queues = topology(names.prefix, names.exchange, (5,))
        super().__init__(uri, ConsumptionPlan(queues, 50, declares=True))

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

    async def wait_settled(self, amqp: Amqp, queue: str) -> None:
        """All that hangs, too, and the broker knows it: it has nothing left when the connection is closed."""
        self.settle()
        await self.consumers.flushed()
        await end(self.task)
        assert await amqp.drain(queue) == []

    def _end(self, message: TakenMessage) -> None:
        if message.body.startswith(b"hang"):
            self.hanging.append(message)
        else:
            message.ack()


@pytest.fixture
async def start(
    broker: LocalBroker, names: Names, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    """Consumers that move as soon as one message goes behind two that hang, and look fifty times a second."""
    monkeypatch.setattr(acks, "PATIENCE", 3)
    monkeypatch.setattr(acks, "DEAR_WALK", 0)
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
    await asyncio.gather(*(amqp.publish("", names.events, body, message_id=body[:100].decode()) for body in bodies))
    return list(bodies)


async def moved(start: Callable[..., Hanging], amqp: Amqp, names: Names, *uri: str) -> Hanging:
    """With two messages that hang on the channel that was left, and six that came."""
    hanging = start(*uri)
    await amqp.wait_consumed(names.events)
    await publish(amqp, names, b"hang 1", b"hang 2", *(b"before %d" % number for number in range(4)))
    await hanging.wait_left(1)
    await hanging.wait_count(6)
    return hanging


async def test_it_goes_on_and_acks_on_both_channels(start: Callable[..., Hanging], amqp: Amqp, names: Names) -> None:
    hanging = start()
    await amqp.wait_consumed(names.events)
    sent = await publish(amqp, names, b"hang 1", b"hang 2")
    while not hanging.left:
        sent += await publish(amqp, names, *(b"%d" % (len(sent) + number) for number in range(20)))
    sent += await publish(amqp, names, *(b"after %d" % number for number in range(60)))
    await hanging.wait_count(len(sent))
    assert sorted(hanging.bodies) == sorted(sent), "each of them once"
    assert hanging.consumers.taken(0) == len(sent)
    hanging.settle()
    assert (hanging.consumers.taken(0), hanging.consumers.held_bytes) == (len(sent), 0)
    await hanging.wait_settled(amqp, names.events)


async def test_it_moves_to_a_channel_that_was_left_and_holds_nothing_any_more(
    start: Callable[..., Hanging], amqp: Amqp, names: Names
) -> None:
    hanging = await moved(start, amqp, names)
    (first,) = hanging.left
    await publish(amqp, names, b"hang 3", b"hang 4", *(b"between %d" % number for number in range(4)))
    await hanging.wait_left(2)
    hanging.settle()
    await until(lambda: first.open == 0, "the first one holds nothing")
    await publish(amqp, names, b"hang 5", b"hang 6", *(b"after %d" % number for number in range(4)))
    await until(lambda: hanging.relay._current is first, "consumed on again")
    await publish(amqp, names, b"last")
    await hanging.wait_count(19)
    assert len(hanging.left) == 2
    hanging.settle()
    assert hanging.consumers.taken(0) == 19
    await hanging.wait_settled(amqp, names.events)


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
        await hanging.wait_settled(amqp, names.events)


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
    await hanging.wait_settled(amqp, names.events)


async def dear(rig: Rig) -> Consumption:
    """A channel on which sixteen hang, and whose acks have become dear."""
    made = await rig.start()
    made._ledger.expect(10)
    await rig.deliver(*range(1, 17))
    for _ in range(acks.PATIENCE):
        made._ledger.take()
    made._ledger._walked = acks.DEAR_WALK + 1
    return made


class Line:
    """A relay at a settable time, with what opens one more channel for it; each has sixteen that hang."""

    def __init__(self, first: Consumption, rig: Rig) -> None:
        self.now = 100.0
        self.rig = rig
        self.opened = 1
        self.relay = Relay(first, lambda: self.now)

    @classmethod
    async def started(cls) -> Line:
        rig = Rig()
        first = await dear(rig)
        await first.cancel()
        line = cls(first, rig)
        await line.relay.consume([Consumer("q", 10)], 1.0)
        line.relay._current._ledger._walked = acks.DEAR_WALK + 1
        return line

    async def move(self) -> None:
        assert self.relay.due
        await self.relay.move(self._open)
        self.relay._current._ledger._walked = acks.DEAR_WALK + 1

    async def _open(self) -> Consumption:
        self.opened += 1
        made = await dear(self.rig)
        await made.cancel()
        return made

    def settle(self, which: int) -> None:
        for message in self.rig.messages[16 * which : 16 * (which + 1)]:
            message.ack()


async def test_it_moves_when_acks_are_dear_because_of_what_hangs_but_rests_between() -> None:
    line = await Line.started()
    await line.move()
    assert not line.relay.due
    line.now += REST_SECONDS
    assert line.relay.due
    line.rig.messages[-1].ack()
    assert not line.relay.due, "fifteen are passed at once"


async def test_it_does_not_move_while_half_of_the_bytes_are_taken(
    start: Callable[..., Hanging], amqp: Amqp, names: Names
) -> None:
    hanging = start()
    await amqp.wait_consumed(names.events)
    await publish(amqp, names, b"hang".ljust(300_000), b"hang".ljust(300_000, b"."), b"1", b"2", b"3")
    await hanging.wait_count(5)
    await until(lambda: hanging.relay.due, "acks are dear")
    await publish(amqp, names, b"4", b"5")
    await hanging.wait_count(7)
    assert hanging.left == []
    hanging.hanging.pop().ack()
    await publish(amqp, names, b"hang", b"6", b"7")
    while not hanging.left:
        await hanging.wait_count(10)
        await publish(amqp, names, b"8", b"9")


async def test_acks_that_were_dear_before_it_came_back_to_a_channel_are_no_reason_to_move() -> None:
    line = await Line.started()
    made = line.relay._current
    assert line.relay.due
    await line.relay.cancel()
    await line.relay.consume([Consumer("q", 10)], 1.0)
    assert (made.hanging, made.dear, line.relay.due) == (16, False, False)


async def test_it_waits_for_a_moment_in_which_nothing_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "LOOKS", 1_000_000)
    line = await Line.started()
    before = line.relay._current
    await line.relay.cancel()
    await line.relay.consume([Consumer("q", 20)], 1.0)
    other = await line._open()

    async def opened() -> Consumption:
        return other

    moving = asyncio.ensure_future(line.relay.move(opened))
    line.rig.channel = before._channel
    await line.rig.deliver(17, 18, 19)
    line.rig.messages[-1].ack()  # until this is written, RabbitMQ sends no other for it
    assert (before.full, moving.done()) == (False, False)
    await line.rig.deliver(20)
    assert before.full
    await moving
    assert (set(before._tags), set(other._tags)) == (set(), {"q"})


async def test_it_moves_all_the_same_when_no_such_moment_comes() -> None:
    line = await Line.started()
    before = line.relay._current
    await line.relay.cancel()
    await line.relay.consume([Consumer("q", 20)], 1.0)
    assert not before.full
    await line.relay.move(line._open)
    assert (set(before._tags), line.relay._current is before) == (set(), False)


async def test_it_uses_nine_channels_at_most_and_those_that_hold_nothing_again() -> None:
    line = await Line.started()
    first = line.relay._current
    for _ in range(MOST_LEFT):
        await line.move()
        line.now += REST_SECONDS
    assert (line.opened, line.relay.due) == (MOST_LEFT + 1, False)
    line.settle(0)
    await line.move()
    assert (line.opened, line.relay._current is first, len(line.relay._left)) == (MOST_LEFT + 1, True, MOST_LEFT)
    assert line.relay.taken == 16 * (MOST_LEFT + 1)


async def test_each_queue_has_one_consumer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two, RabbitMQ would give an event to one channel and the next to the other, in no order."""
    line, seen = await Line.started(), []
    await line.relay.cancel()
    await line.relay.consume([Consumer("q", 10), Consumer("other", 10)], 1.0)
    consume, before = Consumption.consume, line.relay._current
    other = await line._open()

    async def opened() -> Consumption:
        return other

    async def consumed(on: Consumption, consumers: list[Consumer], share: float) -> None:
        seen.append((set(before._tags), [consumer.queue for consumer in consumers], share))
        await consume(on, consumers, share)

    monkeypatch.setattr(Consumption, "consume", consumed)
    await line.relay.move(opened)
    assert seen == [({"other"}, ["q"], 1.0), (set(), ["other"], 1.0)]
    assert set(other._tags) == {"q", "other"}


async def test_the_watchdog_is_woken_once_when_acks_become_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acks, "DEAR_WALK", 0)
    rig = Rig()
    made = await rig.start()
    await rig.deliver(*range(1, 10))
    for message in rig.messages[1:]:
        message.ack()
        await made.flushed()
    assert (made.dear, rig.changes) == (True, 1)


async def test_what_is_paused_does_not_move() -> None:
    line = await Line.started()
    assert line.relay.due
    await line.relay.cancel()
    assert not line.relay.due

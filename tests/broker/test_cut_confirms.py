"""Confirms that are cut out of the connection end the same publishes as those that aiormq reads."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from tests.broker.test_cutter import Behind
from tests.support.memory_broker import MemoryBroker
from worker.broker.aiormq_internals import channel_on, expect_confirm, take_confirms
from worker.broker.cutter import ALIVE_SECONDS, Cutter
from worker.broker.decoders import read_whatever_comes

PUBLISHES = 8
PENDING, CONFIRMED = "pending", "confirmed"


@dataclass(frozen=True)
class Said:
    """What the broker says of the publish with this number."""

    number: int
    what: str

    @property
    def all_before(self) -> bool:
        return self.what.endswith("all before")

    def frames(self, channel: int) -> Iterator[bytes]:
        match self.what:
            case "ack" | "ack of all before":
                yield frame.marshal(Basic.Ack(self.number, self.all_before), channel)
            case "nack" | "nack of all before":
                yield frame.marshal(Basic.Nack(self.number, self.all_before), channel)
            case "return":
                yield frame.marshal(Basic.Return(312, "NO_ROUTE", "", "gone"), channel)
                yield frame.marshal(ContentHeader(body_size=1, properties=_named(self.number)), channel)
                yield frame.marshal(ContentBody(b"x"), channel)
                yield frame.marshal(Basic.Ack(self.number), channel)
            case "close":
                yield frame.marshal(commands.Channel.Close(406, "PRECONDITION_FAILED", 0, 0), channel)


def _named(number: int) -> Basic.Properties:
    return Basic.Properties(message_id=str(number))


KINDS = ["ack"] * 4 + ["ack of all before"] * 2 + ["nack", "nack of all before", "return"]


@st.composite
def histories(draw: st.DrawFn) -> list[Said]:
    """As RabbitMQ speaks: of each publish once, and of all before only with one that is open."""
    open_ones, said = list(range(1, PUBLISHES + 1)), []
    while open_ones and draw(st.integers(0, 9)):
        number, what = draw(st.sampled_from(open_ones)), draw(st.sampled_from(KINDS))
        said.append(Said(number, what))
        open_ones = [other for other in open_ones if other != number and not (said[-1].all_before and other < number)]
    return said + ([Said(0, "close")] if draw(st.booleans()) else [])


def _expected(said: Sequence[Said]) -> list[str]:
    fates = [PENDING] * PUBLISHES
    for each in said:
        if each.what == "close":
            break
        fate = {"ack": CONFIRMED, "nack": "DeliveryError", "return": "PublishError"}[each.what.partition(" ")[0]]
        for number in range(1 if each.all_before else each.number, each.number + 1):
            if fates[number - 1] == PENDING:
                fates[number - 1] = fate
    return fates


def _fate(publish: asyncio.Future[object]) -> str:
    if not publish.done():
        return PENDING
    error = publish.exception()
    return CONFIRMED if error is None else type(error).__name__


async def _fates(said: Sequence[Said], size: int, expected: Sequence[str], *, cuts: bool) -> list[str]:
    """What has become of each publish once it is as expected, or after two seconds. Two channels take turns; what is
    said of the second one's publishes is not said of the first one's."""
    read_whatever_comes()
    broker, connection = await MemoryBroker.connected(cuts=cuts)
    try:
        channel, other = [await channel_on(connection, confirms=True) for _ in range(2)]
        publishes = [_expect(channel, number) for number in range(1, PUBLISHES + 1)]
        others = [_expect(other, number) for number in range(1, len(said) + 1)]
        take_confirms(channel)
        take_confirms(other)
        pairs = [(each.frames(channel.number), Said(at, "ack").frames(other.number)) for at, each in enumerate(said, 1)]
        wire = b"".join(piece for pair in pairs for frames in pair for piece in frames)
        broker.send(wire[at : at + size] for at in range(0, len(wire), size))
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                while [_fate(each) for each in publishes] != expected or not all(each.done() for each in others):
                    await asyncio.sleep(0)
        assert [_fate(each) for each in others] == [CONFIRMED] * len(said)
        return [_fate(each) for each in publishes]
    finally:
        await connection.close()


def _expect(channel: Channel, number: int) -> asyncio.Future[object]:
    publish: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    expect_confirm(channel, publish, str(number))
    return publish


@given(histories(), st.integers(1, 200))
def test_a_publish_ends_as_the_broker_says_cut_out_or_read_by_aiormq(said: list[Said], size: int) -> None:
    expected = _expected(said)
    for cuts in (True, False):
        assert asyncio.run(_fates(said, size, expected, cuts=cuts)) == expected


async def test_what_was_returned_is_not_taken_for_confirmed_by_the_ack_that_follows_it() -> None:
    said = [Said(1, "ack"), Said(3, "return"), Said(5, "ack of all before")]
    expected = [CONFIRMED, CONFIRMED, "PublishError", CONFIRMED, CONFIRMED, *[PENDING] * 3]
    assert _expected(said) == expected
    assert await _fates(said, 1 << 20, expected, cuts=True) == expected


async def test_acks_are_cut_until_something_else_comes() -> None:
    read_whatever_comes()
    broker, connection = await MemoryBroker.connected(cuts=True)
    try:
        channel = await channel_on(connection, confirms=True)
        first, second, third, given_up = [_expect(channel, number) for number in range(1, 5)]
        take_confirms(channel)
        broker.send(Said(1, "ack").frames(channel.number))
        assert first.done(), "within the read"
        given_up.cancel()
        broker.send(Said(4, "ack").frames(channel.number))
        assert 4 not in channel.confirmations
        broker.send(Said(2, "nack").frames(channel.number))
        broker.send(Said(3, "ack").frames(channel.number))
        assert not third.done(), "it comes behind the nack, which aiormq has still to read"
        await asyncio.wait([second, third])
        assert (type(second.exception()), third.exception()) == (DeliveryError, None)
    finally:
        await connection.close()


async def test_a_connection_of_which_all_confirms_are_cut_is_kept_alive() -> None:
    """aiormq sees nothing of them, and would take it for stuck."""
    behind, now = Behind(), 100.0
    cutter = Cutter(behind, lambda: now)  # type: ignore[arg-type]  # as much of a reader as it needs
    cutter.add_confirms(1, lambda *_: None)
    for _ in range(3):
        cutter.data_received(b"".join(Said(1, "ack").frames(1)))
    assert behind.got == Heartbeat().marshal()
    now += ALIVE_SECONDS
    cutter.data_received(b"".join(Said(1, "ack").frames(1)))
    assert behind.got == 2 * Heartbeat().marshal()

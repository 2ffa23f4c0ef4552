"""The same bytes bring the same messages, cut out of the connection or by way of aiormq, however they are split."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import zip_longest
from types import SimpleNamespace
from typing import Any

import aiormq
import pytest
from aiormq.abc import DeliveredMessage
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from tests.support.memory_broker import MemoryBroker
from worker.broker.aiormq_internals import channel_on, closing_of
from worker.broker.consuming.consumption import Consumer, Consumption, Held
from worker.broker.consuming.redeliveries import Redeliveries
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.cutter import ALIVE_SECONDS, Cutter
from worker.broker.decoders import read_whatever_comes
from worker.broker.frames import consume

OURS = 3
"""Channels with a consumer whose deliveries are cut out, and one whose are not."""

Taken = tuple[object, ...]


@dataclass
class Side:
    """One connection: what its consumers got, each channel's in order."""

    broker: MemoryBroker
    connection: aiormq.Connection
    taken: dict[int, list[Taken]] = field(default_factory=dict)
    heard: dict[int, list[Taken]] = field(default_factory=dict)
    tags: dict[int, str] = field(default_factory=dict)
    others: dict[int, str] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    _awaited: set[int] = field(default_factory=set)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def made(cls, *, cuts: bool) -> "Side":
        broker, connection = await MemoryBroker.connected(cuts=cuts)
        side = cls(broker, connection)
        for _ in range(OURS):
            channel = await channel_on(connection, confirms=False)
            number = channel.number
            side.taken[number], side.heard[number] = [], []
            closing_of(channel).add_done_callback(partial(side._closed, number))
            take = partial(side._take, number)
            consumption = Consumption(channel, take, Held(10**9), lambda: None, Redeliveries(lambda: 0.0))
            await consumption.consume([Consumer("q", 1000)], 1.0)
            side.tags[number] = consumption._tags["q"]
            side.others[number] = await consume(channel, "others", partial(side._heard, number))
        return side

    def _take(self, channel: int, message: TakenMessage) -> None:
        self.taken[channel].append(
            (
                message.body,
                dict(message.headers),
                message.message_id,
                message.exchange,
                message.routing_key,
                message.tag,
                message.redelivered,
            )
        )

    async def _heard(self, channel: int, message: DeliveredMessage) -> None:
        if message.body == SENTINEL:
            self._done(channel)
        else:
            self.heard[channel].append((message.body, message.delivery_tag, message.header.properties.headers))

    def _closed(self, channel: int, closing: asyncio.Future[Any]) -> None:
        self.ended[channel] = type(None if closing.cancelled() else closing.exception()).__name__
        self._done(channel)

    def ended_surely(self, odd: "Odd | None") -> dict[int, str]:
        """By what each channel has ended; of the odd one nobody knows when."""
        return {channel: how for channel, how in self.ended.items() if not (odd and channel == BEGUN)}

    def _done(self, channel: int) -> None:
        self._awaited.discard(channel)
        if not self._awaited:
            self._came.set()

    async def receive(self, items: "Iterable[Item]", cut: "Cuts", odd: "Odd | None" = None) -> None:
        """Until all of it has been dealt with: on each channel a last delivery has come, or it has ended.

        Of the one on which something odd came, neither is certain.
        """
        wire = b"".join(cut.mixed([(item.channel, list(item.frames(self))) for item in items]))
        wire += b"" if odd is None else odd(self)
        self._awaited = {*self.tags} - ({BEGUN} if odd else set())
        self._came.clear()
        wire += b"".join(b"".join(Item(number, "another", SENTINEL).frames(self)) for number in self.tags)
        self.broker.send(cut.pieces(wire))
        async with asyncio.timeout(10):
            await self._came.wait()


SENTINEL = b"the last one"


class Deliver(Basic.Deliver):
    """Of any names, as RabbitMQ passes them on."""

    def validate(self) -> None: ...


@dataclass(frozen=True)
class Item:
    """Something that the broker sends on a channel."""

    channel: int
    kind: str
    body: bytes = b""
    names: tuple[str, str] = ("", "key")
    properties: dict[str, Any] = field(default_factory=dict)
    tag: int = 1
    redelivered: bool = False
    largest: int = 100_000

    def frames(self, side: Side) -> Iterator[bytes]:
        match self.kind:
            case "ours":
                yield from self._content(self._deliver(side.tags[self.channel]))
            case "another":
                yield from self._content(self._deliver(side.others[self.channel]))
            case "a stranger's":
                yield from self._content(self._deliver("nobody"))
            case "returned":
                yield from self._content(Basic.Return(312, "NO_ROUTE", "", "key"))
            case "heartbeat":
                yield Heartbeat().marshal()
            case "confirm":
                yield frame.marshal(Basic.Ack(delivery_tag=self.tag), self.channel)
            case "cancelled":
                yield frame.marshal(Basic.Cancel(consumer_tag="nobody"), self.channel)

    def _deliver(self, consumer_tag: str) -> Deliver:
        exchange, key = self.names
        return Deliver(consumer_tag, self.tag, self.redelivered, exchange, key)

    def _content(self, method: Any) -> Iterator[bytes]:
        yield frame.marshal(method, self.channel)
        header = ContentHeader(body_size=len(self.body), properties=Basic.Properties(**self.properties))
        yield frame.marshal(header, self.channel)
        for at in range(0, len(self.body), self.largest):
            yield frame.marshal(ContentBody(self.body[at : at + self.largest]), self.channel)


Odd = Callable[[Side], bytes]
"""Bytes that no broker should send, told by the tags of a side's consumers."""


@dataclass(frozen=True)
class Cuts:
    """Where the stream is split: after so many bytes each, again and again; and whether channels alternate in it."""

    sizes: tuple[int, ...]
    alternate: bool = False

    def mixed(self, items: list[tuple[int, list[bytes]]]) -> list[bytes]:
        """The frames in the order in which they are sent: each channel's stay in theirs."""
        if not self.alternate:
            return [piece for _, frames in items for piece in frames]
        lines = [[piece for of, frames in items if of == number for piece in frames] for number in range(1, OURS + 1)]
        return [piece for turn in zip_longest(*lines) for piece in turn if piece is not None]

    def pieces(self, wire: bytes) -> Iterator[bytes]:
        at = turn = 0
        while at < len(wire):
            size = self.sizes[turn % len(self.sizes)]
            yield wire[at : at + size]
            at, turn = at + size, turn + 1


WHOLE = Cuts((1 << 30,))

properties = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.sampled_from(["application/json", "", "ö"]),
        "content_encoding": st.just("utf-8"),
        "headers": st.dictionaries(
            st.one_of(
                st.text("abc", min_size=1, max_size=5), st.sampled_from(["x-death", "x-delivery-log", "tracestate"])
            ),
            st.one_of(st.text(max_size=9), st.sampled_from([7, 2**40, [{"count": 1}, "n"], {"a": [1]}]), st.booleans()),
        ),
        "delivery_mode": st.just(2),
        "priority": st.just(3),
        "correlation_id": st.just("c"),
        "expiration": st.just("60000"),
        "message_id": st.text("xyzö", min_size=1, max_size=9),
        "timestamp": st.just(datetime(2026, 11, 28, tzinfo=UTC)),
        "message_type": st.just("t"),
        "app_id": st.just("evolution"),
    },
)
KINDS = ["ours", "ours", "ours", "another", "a stranger's", "returned", "heartbeat", "confirm", "cancelled"]
items = st.builds(
    Item,
    channel=st.integers(1, OURS),
    kind=st.sampled_from(KINDS),
    body=st.one_of(st.just(b'{"event":"messages.upsert"}'), st.binary(max_size=60)),
    names=st.tuples(st.sampled_from(["", "evolution", "ä" * 60]), st.sampled_from(["", "acme.messages.upsert", "ü"])),
    properties=properties,
    tag=st.integers(1, 300),
    redelivered=st.booleans(),
    largest=st.integers(1, 70),
)
alike = st.builds(
    Item,
    channel=st.integers(1, 2),
    kind=st.sampled_from(["ours", "ours", "ours", "another"]),
    body=st.binary(max_size=60),
    names=st.sampled_from([("evolution", "messages.upsert"), ("evolution", "messages.update"), ("evolutiom", "key")]),
    properties=st.sampled_from([{}, {"delivery_mode": 2}, {"delivery_mode": 1}, {"priority": 2}, {"app_id": "e"}]),
    tag=st.integers(1, 300),
    redelivered=st.booleans(),
    largest=st.integers(20, 70),
)
"""Deliveries that differ from each other in little, or in what is not compared."""

cuts = st.one_of(
    st.just(WHOLE), st.builds(Cuts, st.lists(st.integers(1, 90), min_size=1, max_size=9).map(tuple), st.booleans())
)


async def _compared(sent: list[Item], cut: Cuts, odd: Odd | None = None) -> Side:
    read_whatever_comes()
    plain, fast = await Side.made(cuts=False), await Side.made(cuts=True)
    try:
        await plain.receive(sent, Cuts(WHOLE.sizes, cut.alternate), odd)
        await fast.receive(sent, cut, odd)
        assert fast.ended_surely(odd) == plain.ended_surely(odd)
    finally:
        await plain.connection.close()
        await fast.connection.close()
    assert fast.taken == plain.taken
    assert fast.heard == plain.heard
    return fast


@given(st.lists(items | alike, max_size=12), cuts)
def test_the_same_bytes_bring_the_same_messages_either_way_however_they_are_split(sent: list[Item], cut: Cuts) -> None:
    asyncio.run(_compared(sent, cut))


# What no broker should send: aiormq judges it, with all that follows.

BEGUN = 2
"""The channel on which a delivery of ours has begun when the odd frame comes."""


def _begin(side: Side) -> bytes:
    """A delivery's first three frames; 2 of 5 bytes have come."""
    item = Item(BEGUN, "ours", b"12345", largest=2, tag=7)
    return b"".join(list(item.frames(side))[:3])


def _changed(side: Side, number: int, at: int, byte: int) -> bytes:
    """A whole delivery of ours with one other byte in one of its frames."""
    frames = [bytearray(piece) for piece in Item(BEGUN, "ours", b"12345", tag=7).frames(side)]
    frames[number][at] = byte
    return b"".join(frames)


def _longer_name(side: Side) -> bytes:
    method, *content = Item(BEGUN, "ours", b"12345", names=("", "key"), tag=7).frames(side)
    return method.replace(b"\x03key", b"\x02key") + b"".join(content)


ODD: dict[str, Odd] = {
    "another method before the content has ended": lambda side: _begin(side) + frame.marshal(Basic.QosOk(), BEGUN),
    "the channel closes before the content has ended": lambda side: (
        _begin(side) + frame.marshal(Channel.Close(404, "NOT_FOUND", 0, 0), BEGUN)
    ),
    "a second header": lambda side: _begin(side) + frame.marshal(ContentHeader(body_size=5), BEGUN),
    "more of a body than was said": lambda side: _begin(side) + frame.marshal(ContentBody(b"345678"), BEGUN),
    "a body without a header": lambda side: (
        next(Item(BEGUN, "ours").frames(side)) + frame.marshal(ContentBody(b"12345"), BEGUN)
    ),
    "a frame of an unknown kind": lambda side: b"\x05" + frame.marshal(ContentBody(b"x"), BEGUN)[1:],
    "a delivery without its frame's end": lambda side: _changed(side, 0, -1, 0),
    "a header without its frame's end": lambda side: _changed(side, 1, -1, 0),
    "a body without its frame's end": lambda side: _changed(side, 2, -1, 0),
    "a name that is longer than is said": _longer_name,
}
BEFORE = [
    Item(1, "ours", b"a"),
    Item(BEGUN, "ours", b"12345", tag=6),
    Item(BEGUN, "another", b"b"),
    Item(3, "ours", b"c" * 50, largest=20),
]


@pytest.mark.parametrize("cut", [WHOLE, Cuts((1,))], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("name", ODD)
async def test_what_is_odd_is_judged_by_aiormq_with_all_that_follows(name: str, cut: Cuts) -> None:
    fast = await _compared(BEFORE, cut, ODD[name])
    assert fast.taken[1] == [(b"a", {}, None, "", "key", 1, False)]


async def test_what_follows_something_odd_still_comes() -> None:
    side = await Side.made(cuts=True)
    await side.receive(BEFORE, WHOLE, lambda side: _begin(side) + frame.marshal(Basic.QosOk(), BEGUN))
    await side.receive([Item(1, "ours", b"later")], WHOLE, lambda _: b"")
    await side.connection.close()
    assert [body for body, *_ in side.taken[1]] == [b"a", b"later"]


# The life of the connection.


class Behind:
    """What aiormq's reader would get."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = False

    def data_received(self, data: bytes) -> None:
        self.got += data

    def eof_received(self) -> None:
        self.ended = True

    def connection_made(self, transport: object) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


async def test_a_delivery_that_is_like_one_before_is_compared_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read, cut = [], Cutter._cut
    monkeypatch.setattr(Cutter, "_cut", lambda *given: read.append(given[2]) or cut(*given))  # type: ignore[func-returns-value]
    side = await Side.made(cuts=True)
    bodies = [b"%d" % number for number in range(300)]
    await side.receive([Item(1, "ours", body) for body in bodies], WHOLE)
    assert [body for body, *_ in side.taken[1]] == bodies
    assert len(read) < 100
    await side.connection.close()


def test_a_connection_on_which_deliveries_alone_come_is_not_taken_for_stuck() -> None:
    behind: Any = Behind()
    now, bodies = [0.0], []
    cutter = Cutter(behind, lambda: now[0])
    cutter.add("ctag1.x", lambda body, *_: bodies.append(body))
    side: Any = SimpleNamespace(tags={1: "ctag1.x"})
    wire = b"".join(Item(1, "ours", b"x").frames(side))
    for now[0] in (0.0, 0.5 * ALIVE_SECONDS, ALIVE_SECONDS, 1.5 * ALIVE_SECONDS):
        cutter.data_received(wire)
    assert bodies == [b"x"] * 4
    assert behind.got == 2 * Heartbeat().marshal()


def test_before_there_is_a_consumer_aiormq_gets_what_came_and_no_more() -> None:
    """In the handshake another frame than the one it waits for would end the connection."""
    behind: Any = Behind()
    cutter = Cutter(behind, lambda: 10 * ALIVE_SECONDS)
    start = frame.marshal(Basic.QosOk(), 1)
    for at in range(len(start)):
        cutter.data_received(start[at : at + 1])
    assert behind.got == start


def test_a_frame_that_is_cut_off_by_the_end_goes_to_aiormq_before_the_end() -> None:
    behind: Any = Behind()
    cutter = Cutter(behind, lambda: 0.0)
    cutter.data_received(frame.marshal(Basic.QosOk(), 1)[:-1])
    assert (behind.got, behind.ended) == (b"", False)
    cutter.eof_received()
    assert (behind.got, behind.ended) == (frame.marshal(Basic.QosOk(), 1)[:-1], True)


def test_a_consumer_that_was_removed_is_aiormqs_alone() -> None:
    behind: Any = Behind()
    cutter = Cutter(behind, lambda: 0.0)
    cutter.add("ctag1.x", lambda *_: pytest.fail("it was removed"))
    cutter.remove("ctag1.x")
    side: Any = SimpleNamespace(tags={1: "ctag1.x"})
    wire = b"".join(Item(1, "ours", b"x").frames(side))
    cutter.data_received(wire)
    assert behind.got == wire

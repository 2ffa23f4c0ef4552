"""Reads the archive: a RabbitMQ stream over AMQP 0-9-1, from an offset or a moment on.

A stream is read by a consumer that says where to begin; nothing is taken out of it. Acks only ask for more. With any
prefetch from 50 to 1,000 it is 48,000 events of 0.8 KB a second (3.10); a larger one only holds more of them at once. A
moment begins at the chunk that was being written then, which is up to a second early.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import aiormq
from aio_pika.abc import AbstractConnection
from aiormq.channel import Channel

from worker.broker.aiormq_internals import closing_of, on_consumer_cancelled
from worker.broker.archive.marks import BIRTH, Mark, mark_in, publish_mark
from worker.broker.connection import BROKER_ERRORS, as_broker_errors
from worker.broker.declare import open_channel
from worker.broker.frames import acknowledge, consume_cut
from worker.broker.properties import STREAM_OFFSET
from worker.replay.archive import Archived, ArchiveStalled, Begin, Nothing

PREFETCH = 100
BORN_WITHIN = PREFETCH
"""Messages, of which one is the birth of an archive whose head is whole: marks of readers may be in front."""

STALLED_SECONDS = 30.0
"""Without a message although one of ours is behind: the stream has no leader, or its log cannot be read."""

Offset = int | str | datetime
"""Of `x-stream-offset`: a message's number, `first`, or a moment."""


def stream_moment(seconds: float) -> datetime:
    """Unix seconds as an offset: AMQP 0-9-1 has no time before 1970, from which on all is asked for then."""
    return datetime.fromtimestamp(max(0.0, seconds), UTC)


class Seen(NamedTuple):
    """A message of the stream: an event, or a mark of ours."""

    offset: int
    event: Archived
    mark: Mark | None


class Birth(NamedTuple):
    """`at`, Unix ms: the archive has everything since then."""

    offset: int
    at: int


def birth_in(head: Iterable[Seen]) -> Birth | None:
    """None: its first messages are gone. `head`: the oldest that are left. Of several births the first is right."""
    for seen in head:
        if seen.mark is not None and seen.mark.name == BIRTH:
            return Birth(seen.offset, seen.mark.at)
    return None


class Archive:
    """See worker/replay/archive.py. On one connection, which it does not close; what is broken raises BROKER_ERRORS."""

    def __init__(self, connection: AbstractConnection, name: str) -> None:
        self._connection = connection
        self._name = name

    async def begin(self, since: float) -> Begin | Nothing:
        """Where the events since then begin (Unix seconds), and what is known to be gone of them."""
        end = await self.mark()
        head = await self._head(end)
        found = await self._first_from(stream_moment(since), end, with_end=True)
        assert found is not None  # at least the mark
        if found.mark is not None and found.mark.name == end:
            return Nothing(end, found.offset)
        birth = birth_in(head)
        if birth is not None and found.offset <= birth.offset:
            return Begin(found.offset, end, birth.at, truncated=False)
        return Begin(found.offset, end, None, truncated=birth is None and found.offset == head[0].offset)

    async def offset_at(self, moment: float, end: str) -> int | None:
        found = await self._first_from(stream_moment(moment), end)
        return None if found is None else found.offset

    async def mark(self) -> str:
        """Publishes a mark: what was archived before is in front of it. Its name."""
        name = secrets.token_hex(8)
        channel = await open_channel(self._connection, confirms=True)
        await publish_mark(channel, self._name, Mark(name, int(datetime.now(UTC).timestamp() * 1000)))
        await channel.close()
        return name

    async def first(self) -> int:
        """The offset of the oldest message that is left."""
        found = await self._first_from("first", await self.mark(), with_end=True)
        assert found is not None  # at least the mark
        return found.offset

    async def has_event(self) -> bool:
        """Whether any has come: marks are no events."""
        end = await self.mark()
        async with aclosing(self._read("first", end)) as messages:
            async for seen in messages:
                if seen.mark is None:
                    return True
        return False

    async def events(self, offset: int, end: str) -> AsyncGenerator[Archived]:
        """From `offset` on, up to the mark `end`, in order. Raises ArchiveStalled."""
        async with aclosing(self._read(offset, end)) as messages:
            async for seen in messages:
                if seen.mark is None:
                    yield seen.event

    async def look(self, offset: Offset, seconds: float) -> list[Seen]:
        """The first messages from there on, as many as come at once; [] if none has come within `seconds`.

        For those who look and change nothing: it publishes no mark.
        """
        async with self._consuming(offset) as inbox:
            try:
                async with asyncio.timeout(seconds):
                    return [_seen(message) for message in await inbox.take()]
            except TimeoutError:
                return []

    async def _head(self, end: str) -> Sequence[Seen]:
        """The oldest messages that are left, BORN_WITHIN at most; at least the mark `end`."""
        head: list[Seen] = []
        async with aclosing(self._read("first", end, with_end=True)) as messages:
            async for seen in messages:
                head.append(seen)
                if len(head) == BORN_WITHIN:
                    break
        return head

    async def _first_from(self, offset: Offset, end: str, *, with_end: bool = False) -> Seen | None:
        """The first message from there on; None: there is none in front of the mark `end`, nor `with_end` that mark."""
        async with aclosing(self._read(offset, end, with_end=with_end)) as messages:
            async for seen in messages:
                return seen
        return None

    async def _read(self, offset: Offset, end: str, *, with_end: bool = False) -> AsyncGenerator[Seen]:
        async with self._consuming(offset) as inbox:
            while True:
                for message in await inbox.take():
                    seen = _seen(message)
                    last = seen.mark is not None and seen.mark.name == end
                    if not last or with_end:
                        yield seen
                    if last:
                        return
                await inbox.ack()

    @asynccontextmanager
    async def _consuming(self, offset: Offset) -> AsyncIterator["_Inbox"]:
        channel = await open_channel(self._connection)
        inbox = _Inbox(channel)
        try:
            with as_broker_errors():
                on_consumer_cancelled(channel, inbox.cancelled)
                await channel.basic_qos(prefetch_count=PREFETCH)
                await consume_cut(channel, self._name, inbox.taken, {STREAM_OFFSET: offset})
            yield inbox
        finally:
            with suppress(*BROKER_ERRORS):
                await asyncio.wait_for(channel.close(), 5)


class _Inbox:
    """What came on one channel and was not looked at yet."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._came: list[_Came] = []
        self._last = 0
        self._stirred = asyncio.Event()
        self._cancelled = False
        closing_of(channel).add_done_callback(lambda _: self._stirred.set())

    def taken(self, *delivery: Any) -> None:
        self._came.append(_Came(*delivery))
        self._stirred.set()

    def cancelled(self) -> None:
        """The stream was deleted, or its leader is gone."""
        self._cancelled = True
        self._stirred.set()

    async def take(self) -> list["_Came"]:
        """At least one message. Raises ConnectionError, ArchiveStalled."""
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self._stirred.wait()
        except TimeoutError:
            raise ArchiveStalled(f"the archive gave nothing for {STALLED_SECONDS:g} s") from None
        if not self._came:
            raise ConnectionError("the archive's consumer was ended by the broker")
        came, self._came = self._came, []
        self._stirred.clear()
        self._last = came[-1].tag
        if self._channel.is_closed or self._cancelled:
            self._stirred.set()
        return came

    async def ack(self) -> None:
        with as_broker_errors():
            try:
                await acknowledge(self._channel, [(self._last, True)])
            except aiormq.exceptions.ChannelInvalidStateError as error:
                raise ConnectionError("the channel was closed") from error


class _Came(NamedTuple):
    """What Take is called with."""

    body: bytes
    headers: Mapping[str, object]
    message_id: str | None
    exchange: str
    routing_key: str
    tag: int
    redelivered: bool


def _seen(came: _Came) -> Seen:
    offset = came.headers.get(STREAM_OFFSET)
    if not isinstance(offset, int):
        raise ConnectionError("the archive is no stream: its messages have no offset")
    event = Archived(offset, came.body, came.exchange, came.routing_key, came.message_id)
    return Seen(offset, event, mark_in(came.headers))

"""Look at the messages of a queue without taking them: what is not acked is requeued when the channel closes."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from worker.broker.barrier import wait_until_acks_are_stored
from worker.broker.declare import open_channel

MOST_PREFETCH = 2000
"""A quorum queue's limit for one consumer; more messages are held by more consumers on the same channel."""

QUIET_SECONDS = 1.0
"""No message for so long: ask the broker whether there are any left (somebody else may have them)."""

STALLED_SECONDS = 60.0

RETURN_SECONDS = 10.0
"""Somebody else may take them at once, so their return need not be seen."""


class Stalled(Exception):
    """The broker has messages and delivers none."""


class Seen:
    """One message under the eye. `tag` acks it."""

    __slots__ = ("body", "headers", "message_id", "tag")

    def __init__(self, delivered: DeliveredMessage) -> None:
        properties = delivered.header.properties
        self.body: bytes = delivered.body
        self.headers: dict[str, object] = dict(properties.headers or {})
        self.message_id: str | None = properties.message_id
        self.tag: int = delivered.delivery_tag or 0


Look = Callable[[Seen], bool]
"""Called with each message; True keeps it un-acked to the end. False: its ack comes soon, and frees its place."""


class Browser:
    """One look through a queue: every message that was ready when it began, at most.

    `window` is about how many messages are on their way or waiting for their ack at once; None: no bound, for a
    look that drops the bodies. basic.get would take minutes for what consumers do in seconds (73,000 in
    nine minutes against 100,000 in 13 s).
    """

    def __init__(self, connection: AbstractConnection, queue: str, window: int | None = None) -> None:
        self._connection = connection
        self._queue = queue
        self._window = window
        self._capacity = self._seen = self._last = 0
        self._out = 0  # delivered, seen or not, and not acked: what is requeued when this ends
        self.held = 0
        """Messages that `look` kept and nobody acked."""
        self._look: Look | None = None
        self._expected = 0
        self._news = asyncio.Event()
        self._enough = False

    async def __aenter__(self) -> Self:
        self._channel: Channel = await open_channel(self._connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._channel.is_closed:
            return
        ready = await self._ready() if self._out else 0
        await self._channel.close()
        if self._out and error is None:
            await self._returned(ready)

    async def _returned(self, before: int) -> None:
        """Until what was out is in the queue again: 100,000 take a while, and the next command wants to see them."""
        self._channel = await open_channel(self._connection)
        with suppress(TimeoutError):
            async with asyncio.timeout(RETURN_SECONDS):
                while await self._ready() <= before:  # noqa: ASYNC110 - a depth can only be asked for
                    await asyncio.sleep(0.02)
        if not self._channel.is_closed:  # aiormq closes it when a call is cut short
            await self._channel.close()

    async def run(self, look: Look, most: int | None = None) -> None:
        """Until all (or `most`) are seen, or `enough`. Raises Stalled, ChannelNotFoundEntity (no such queue)."""
        ready = await self._ready()
        self._expected = ready if most is None else min(ready, most)
        self._look = look
        quiet = 0.0
        try:
            while not self._done:
                await self._grow()
                quiet = 0.0 if await self._something_came() else quiet + QUIET_SECONDS
                if quiet and await self._ready() == 0:
                    break  # somebody else has the rest
                if quiet >= STALLED_SECONDS:
                    raise Stalled(f"RabbitMQ has delivered nothing from {self._queue} for {quiet:.0f} s")
        finally:
            self._look = None

    def enough(self) -> None:
        """Look no further."""
        self._enough = True
        self._news.set()

    async def ack(self, tag: int) -> None:
        """The message is done with, for good; `look` did not keep it."""
        self._out -= 1
        await self._channel.basic_ack(tag, wait=False)

    async def ack_all(self, tags: Sequence[int]) -> None:
        """The same for many that `look` left: in one frame when they are all that was seen."""
        self.held -= len(tags)
        if tags and len(tags) == self._seen:
            self._out -= len(tags)
            await self._channel.basic_ack(self._last, multiple=True, wait=False)
            return
        for tag in tags:
            await self.ack(tag)

    async def settled(self) -> None:
        """Returns when the queue knows every ack."""
        await wait_until_acks_are_stored(self._channel, self._queue)

    @property
    def _done(self) -> bool:
        return self._enough or self._seen >= self._expected

    async def _ready(self) -> int:
        return (await self._channel.queue_declare(self._queue, passive=True)).message_count or 0

    async def _grow(self) -> None:
        """More consumers, when those there are have too little room for what is to come."""
        while self._lacks_room:
            prefetch = self._step()
            await self._consume(prefetch)
            self._capacity += prefetch

    @property
    def _lacks_room(self) -> bool:
        left = self._expected - self._seen
        wanted = left if self._window is None else min(left, (self._step() + 1) // 2)
        return self._capacity - self.held < wanted

    def _step(self) -> int:
        """Messages to ask for at once: a window of those that will be acked, as far as one can tell by now."""
        if self._window is None:
            return MOST_PREFETCH
        return min(MOST_PREFETCH, self._window * (self._seen + 1) // (self._seen - self.held + 1))

    async def _consume(self, prefetch: int) -> None:
        # On a quorum queue prefetch is a consumer's, set by the last qos before its consume.
        await self._channel.basic_qos(prefetch_count=prefetch)
        await self._channel.basic_consume(self._queue, self._on_message)

    async def _something_came(self) -> bool:
        before = self._seen
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return self._seen > before
        self._news.clear()
        return True

    async def _on_message(self, delivered: DeliveredMessage) -> None:
        self._out += 1
        if self._look is None or self._done:
            return  # it came after the look began, or nobody looks any more: it is requeued
        seen = Seen(delivered)
        self._seen += 1
        self._last = seen.tag
        if self._look(seen):
            self.held += 1
        if self._done or self._lacks_room:
            self._news.set()

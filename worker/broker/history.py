"""The history's queue: batches are published to it, and consumed from it, on a connection that nothing else uses."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, TypeVar

from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from worker.broker.aiormq_internals import closing_of, on_consumer_cancelled
from worker.broker.connection import BROKER_ERRORS, as_broker_errors, in_words, while_open
from worker.broker.declare import declare_one, open_channel
from worker.broker.frames import acknowledge, consume, depth
from worker.broker.publishing.outbox import Outbox, QueueMissing
from worker.broker.publishing.sizes import refused_size
from worker.broker.topology import Queue
from worker.delivery.ports import PublishFailed, TooLarge

T = TypeVar("T")

PREFETCH = 16
"""Batches of a megabyte at most each; ten or so make a transaction that costs little more than one."""

DEPTH_SECONDS = 15.0

ONCE_SECONDS = 5.0
"""For a single batch, its confirm included."""


class HistoryClient:
    """A supervisor's client. `declares=False`: the queue is only checked (RABBITMQ_DECLARE).

    Whatever happens here stays here: deliveries have connections of their own.
    """

    def __init__(self, queue: Queue, *, declares: bool) -> None:
        self._queue = queue
        self._declares = declares
        self._numbers = count(1)
        self._connected = asyncio.Event()
        self._unfit = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self._closing: asyncio.Future[Any] | None = None
        self._outbox: Outbox | None = None
        self._largest: int | None = None

    # What the supervisor calls.

    async def opened(self, connection: AbstractConnection) -> None:
        await declare_one(connection, self._queue, declares=self._declares)
        self._unfit.clear()
        self._largest = None  # it may be another one now
        await self._open_channel(connection)
        self._connection = connection

    async def _open_channel(self, connection: AbstractConnection) -> None:
        channel = await open_channel(connection, confirms=True)
        self._closing = closing_of(channel)
        self._outbox = Outbox(channel, self._learn_limit)

    async def broken(self) -> None:
        while await self._channel_too_small():
            assert self._connection is not None
            await self._open_channel(self._connection)

    async def _channel_too_small(self) -> bool:
        """Waits for the end of channel or connection; True: a batch above RabbitMQ's max_message_size closed the
        channel. The limit is known then, so that it happens once a connection."""
        assert self._closing is not None
        closing, unfit = self._closing, asyncio.ensure_future(self._unfit.wait())
        try:
            await asyncio.wait({closing, unfit}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            unfit.cancel()
        return closing.done() and not closing.cancelled() and refused_size(closing.exception()) is not None

    def state(self, connected: bool) -> None:
        if connected:
            self._connected.set()
            return
        self._connected.clear()
        if self._outbox is not None:
            self._outbox.close()
        self._outbox = self._closing = self._connection = None

    @property
    def connected(self) -> bool:
        return self._connected.is_set()

    # What recording and writing call.

    def send(self, body: bytes) -> asyncio.Future[object]:
        """Persistent, confirmed, routed. The future raises PublishFailed."""
        if self._outbox is None:
            return _failed(PublishFailed("no connection to RabbitMQ"))
        if self._largest is not None and len(body) > self._largest:
            return _failed(TooLarge(f"{len(body)} bytes are more than RabbitMQ's max_message_size of {self._largest}"))
        publish = self._outbox.publish(self._queue.name, body, {}, str(next(self._numbers)))
        publish.add_done_callback(self._ended)
        return publish

    def _learn_limit(self, largest: int) -> None:
        """Not logged: the deliveries' publisher tells of it, and a batch can be halved."""
        self._largest = largest

    def _ended(self, publish: asyncio.Future[object]) -> None:
        if not publish.cancelled() and isinstance(publish.exception(), QueueMissing):
            self._unfit.set()  # a new connection declares it again

    async def open_inbox(self) -> "HistoryInbox":
        """Consumes on a channel of its own, as soon as there is a connection. Raises ConnectionError."""
        await self._connected.wait()
        connection = self._connection
        if connection is None:
            raise ConnectionError("the connection was lost")
        return await _calmly(while_open(connection, self._inbox_on(connection)))

    async def _inbox_on(self, connection: AbstractConnection) -> "HistoryInbox":
        channel = await open_channel(connection)
        inbox = HistoryInbox(channel)
        on_consumer_cancelled(channel, self._unfit.set)  # its queue was deleted, or moves
        await channel.basic_qos(prefetch_count=PREFETCH)
        await consume(channel, self._queue.name, inbox.heard)
        return inbox

    async def watch_depth(self, on_count: Callable[[int], None]) -> None:
        """Asks the broker how many batches wait, again and again, until cancelled."""
        while True:
            await self._connected.wait()
            if (connection := self._connection) is not None:
                with suppress(ConnectionError):
                    on_count(await _calmly(while_open(connection, self._depth(connection))))
            await asyncio.sleep(DEPTH_SECONDS)

    async def _depth(self, connection: AbstractConnection) -> int:
        channel = await open_channel(connection)
        found = await depth(channel, self._queue.name)
        await channel.close()
        return found.ready


def _failed(error: PublishFailed) -> asyncio.Future[object]:
    failed: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    failed.set_exception(error)
    return failed


class HistoryInbox:
    """Batches that came on one channel (history.writer.Inbox)."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._came: list[DeliveredMessage] = []
        self._last = 0
        self._stirred = asyncio.Event()
        closing_of(channel).add_done_callback(lambda _: self._stirred.set())

    async def heard(self, message: DeliveredMessage) -> None:
        self._came.append(message)
        self._stirred.set()

    async def take(self) -> Sequence[bytes]:
        await self._stirred.wait()
        self._refuse_closed()
        came, self._came = self._came, []
        self._stirred.clear()
        self._last = came[-1].delivery_tag or 0
        return [message.body for message in came]

    async def ack(self) -> None:
        self._refuse_closed()
        await _calmly(acknowledge(self._channel, [(self._last, True)]))

    async def close(self) -> None:
        with suppress(ConnectionError):
            await _calmly(asyncio.wait_for(self._channel.close(), 5))

    def _refuse_closed(self) -> None:
        if self._channel.is_closed:
            raise ConnectionError("the channel was closed")


async def _calmly(work: Awaitable[T]) -> T:
    """Whatever a broken connection raises becomes ConnectionError."""
    try:
        with as_broker_errors():
            return await work
    except BROKER_ERRORS as error:
        raise ConnectionError(in_words(error)) from error


async def publish_once(connection: AbstractConnection, queue: str, body: bytes) -> str | None:
    """One batch on a connection that is there for something else; the problem, or None."""
    try:
        async with asyncio.timeout(ONCE_SECONDS):
            channel = await _calmly(open_channel(connection, confirms=True))
            await _calmly(Outbox(channel).publish(queue, body, {}, "1"))
            await _calmly(channel.close())
    except (ConnectionError, PublishFailed, TimeoutError) as error:
        return in_words(error)
    return None

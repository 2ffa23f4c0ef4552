"""Pipelined publishes on one channel with confirms.

aiormq sends, and keeps which publish has which number; confirms end them as they are read (cutter.py), or by way of
aiormq, as returns and nacks do. Its `basic_publish` costs about 60 us of CPU (a lock, a timeout, four objects to
marshal, one write each), this 12: what is published within GATHER_SECONDS goes out in one write.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError, PublishError
from pamqp import frame
from pamqp.commands import Basic

from worker.broker.aiormq_internals import (
    closing_of,
    expect_confirm,
    forget_confirms,
    forget_return,
    take_confirms,
    write,
)
from worker.broker.connection import in_words
from worker.broker.past_headers import Headers
from worker.broker.publishing.content import FRAMING, body_frames, content_header
from worker.broker.publishing.sizes import refused_size
from worker.delivery.ports import PublishFailed, TooLarge

WRITE_BYTES = 256 * 1024
"""Joined for one write, and the last message: while RabbitMQ takes nothing, no more than that is held twice."""

GATHER_SECONDS = 0.002
"""What is published within this time goes out in one write, and reaches RabbitMQ together. Trade-off: a message that is
parked, retried or dead-lettered holds its place in the prefetch so much longer, and the acks of all behind it wait, so
that less is at hand for those that are delivered: with 10 ms these got up to a tenth less (decision 4)."""


class QueueMissing(PublishFailed):
    """The broker returned it: somebody deleted the queue."""


class QueueRejects(PublishFailed):
    """The broker nacked it: the queue is at its length limit, or not available."""


class Publish(asyncio.Future[object]):
    """One publish. It ends at the confirm; what aiormq sets as an exception comes out as PublishFailed."""

    __slots__ = ("body", "headers", "message_id", "queue")

    def __init__(
        self, queue: str, body: bytes, headers: Headers, message_id: str, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(loop=loop)
        self.queue = queue
        self.body = body
        self.headers = headers
        self.message_id = message_id

    def set_exception(self, exception: type | BaseException) -> None:
        if not self.done():  # given up by its caller: aiormq does not ask before it sets a return
            super().set_exception(self._failure(exception))

    def _failure(self, exception: type | BaseException) -> PublishFailed:
        error = exception() if isinstance(exception, type) else exception
        failure: PublishFailed
        match error:
            case TooLarge():
                return error
            case PublishError():
                failure = QueueMissing(f"the queue {self.queue} does not exist")
            case DeliveryError():
                failure = QueueRejects(f"the queue {self.queue} rejected it: at its length limit, or not available")
            case _:
                failure = PublishFailed(f"publishing to {self.queue}: {in_words(error)}")
        failure.__cause__ = error
        return failure


class Outbox:
    """Numbers and sends publishes. Nobody else may publish on the channel: confirms are told apart by their order.

    `learn_limit` is called with the broker's max_message_size when it closes the channel for a larger message.
    """

    def __init__(self, channel: Channel, learn_limit: Callable[[int], None] = lambda _: None) -> None:
        self._channel = channel
        self._learn_limit = learn_limit
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Publish] = deque()
        self._unconfirmed: set[Publish] = set()
        self._writing: asyncio.Task[None] | None = None
        self._method = lru_cache(maxsize=1024)(self._marshalled_method)
        closing_of(channel).add_done_callback(self._channel_closed)
        take_confirms(channel)

    def publish(self, queue: str, body: bytes, headers: Headers, message_id: str) -> Publish:
        """To a queue, mandatory. Cancelled before it is sent, it is not sent.

        `message_id` must be unique: aiormq finds a publish that the broker returned by it.
        """
        return self.send(Publish(queue, body, headers, message_id, self._loop))

    def send(self, publish: Publish) -> Publish:
        """The same for a publish that was made elsewhere."""
        if self._channel.is_closed:
            publish.set_exception(ConnectionError("the channel is closed"))
            return publish
        self._unconfirmed.add(publish)
        publish.add_done_callback(self._ended)
        self._waiting.append(publish)
        if self._writing is None or self._writing.done():
            self._writing = self._loop.create_task(self._write())
        return publish

    def close(self, reason: str = "the connection was lost") -> None:
        """Nothing more is sent; every publish without its confirm fails."""
        self._waiting.clear()
        if self._writing is not None:
            self._writing.cancel()  # aiormq wakes no task that waits for room in a dead connection's queue
        for publish in tuple(self._unconfirmed):
            publish.set_exception(ConnectionError(reason))
        forget_confirms(self._channel)

    def _ended(self, publish: Publish) -> None:
        self._unconfirmed.discard(publish)
        forget_return(self._channel, publish.message_id)

    def _channel_closed(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        refused = refused_size(error)
        if refused is not None:
            self._too_large(*refused)
        self.close(f"the channel was closed: {error}" if error and str(error) else "the channel was closed")

    def _too_large(self, size: int, limit: int) -> None:
        self._learn_limit(limit)
        for publish in tuple(self._unconfirmed):
            if len(publish.body) == size:
                publish.set_exception(TooLarge(f"{size} bytes are more than RabbitMQ's max_message_size of {limit}"))

    async def _write(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        while self._waiting:
            payload = self._numbered()
            if payload:
                await write(self._channel, payload)

    def _numbered(self) -> bytes:
        """What waits, up to WRITE_BYTES; its numbers are given in the order in which it is sent."""
        pieces: list[bytes] = []
        size = 0
        while self._waiting and size < WRITE_BYTES:
            publish = self._waiting.popleft()
            if publish.done():
                continue
            try:
                frames = self._frames(publish)
            except (TypeError, ValueError, TooLarge) as error:
                # Not numbered: without being sent, it would shift all confirms after it.
                publish.set_exception(error)
                continue
            expect_confirm(self._channel, publish, publish.message_id)
            pieces += frames
            size += len(publish.body)
        return b"".join(pieces)

    def _frames(self, publish: Publish) -> list[bytes]:
        body, number = publish.body, self._channel.number
        header = content_header(number, len(body), publish.headers, publish.message_id)
        most = self._channel.max_content_size + FRAMING
        if FRAMING < most < len(header):  # 0: the broker sets no limit
            # AMQP has one frame for it: RabbitMQ would close the connection, under all that others publish on it.
            raise TooLarge(f"its headers take a frame of {len(header)} bytes, and RabbitMQ's hold {most}")
        return [self._method(publish.queue), header, *body_frames(number, body, self._channel.max_content_size)]

    def _marshalled_method(self, queue: str) -> bytes:
        return frame.marshal(Basic.Publish(exchange="", routing_key=queue, mandatory=True), self._channel.number)

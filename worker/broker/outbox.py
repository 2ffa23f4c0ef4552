"""Pipelined publishes on one channel with confirms.

aiormq sends and reads; the bookkeeping of confirms and returns is its own as well. Its `basic_publish` costs about
60 us of CPU (a lock, a timeout, four objects to marshal, one write each), this 12: what is published within
GATHER_SECONDS goes out in one write.
"""

import asyncio
from collections import deque
from functools import lru_cache
from typing import Any, NamedTuple

from aiormq.channel import Channel
from pamqp import frame
from pamqp.commands import Basic

from worker.broker.content import body_frames, content_header
from worker.broker.frames import write
from worker.domain.history import Headers

WRITE_BYTES = 256 * 1024
"""Joined for one write, and the last message: while RabbitMQ takes nothing, no more than that is held twice."""

GATHER_SECONDS = 0.010
"""What is published within this time goes out in one write, and comes to RabbitMQ together. The price: a message that
is parked, retried or given up holds its place in the prefetch so much longer; a small WORKER_CONCURRENCY feels it."""


class _Publish(NamedTuple):
    queue: str
    body: bytes
    headers: Headers
    message_id: str
    confirmed: asyncio.Future[object]


class Outbox:
    """Numbers and sends publishes. Nobody else may publish on the channel: confirms are told apart by their order."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Publish] = deque()
        self._unconfirmed: set[asyncio.Future[object]] = set()
        self._writing: asyncio.Task[None] | None = None
        self._method = lru_cache(maxsize=1024)(self._marshalled_method)
        channel.closing.add_done_callback(self._channel_closed)

    def publish(self, queue: str, body: bytes, headers: Headers, message_id: str) -> asyncio.Future[object]:
        """To a queue, mandatory. The future ends at the confirm; cancelled before it is sent, it is not sent.

        It raises aiormq's PublishError (no such queue), DeliveryError (refused), ConnectionError, or what
        `content_header` raises. `message_id` must be unique: aiormq finds a publish that the broker returned by it.
        """
        confirmed: asyncio.Future[object] = self._loop.create_future()
        if self._channel.is_closed:
            confirmed.set_exception(ConnectionError("the channel is closed"))
            return confirmed
        self._unconfirmed.add(confirmed)
        confirmed.add_done_callback(self._unconfirmed.discard)
        self._waiting.append(_Publish(queue, body, headers, message_id, confirmed))
        if self._writing is None or self._writing.done():
            self._writing = self._loop.create_task(self._write())
        return confirmed

    def close(self, reason: str = "the connection was lost") -> None:
        """Nothing more is sent; every publish without its confirm ends with a ConnectionError."""
        self._waiting.clear()
        if self._writing is not None:
            self._writing.cancel()  # aiormq never wakes who waits for room in the queue of a connection that died
        for confirmed in tuple(self._unconfirmed):
            if not confirmed.done():
                confirmed.set_exception(ConnectionError(reason))

    def _channel_closed(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        self.close(f"the channel was closed: {error}" if error and str(error) else "the channel was closed")

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
            if publish.confirmed.done():
                continue
            try:
                frames = self._frames(publish)
            except (TypeError, ValueError) as error:
                # Not numbered: without being sent, it would shift all confirms after it.
                publish.confirmed.set_exception(error)
                continue
            self._expect(publish)
            pieces += frames
            size += len(publish.body)
        return b"".join(pieces)

    def _expect(self, publish: _Publish) -> None:
        """The confirm, or the return."""
        channel, message_id = self._channel, publish.message_id
        channel.delivery_tag += 1
        channel.confirmations[channel.delivery_tag] = publish.confirmed
        channel.message_id_delivery_tag[message_id] = channel.delivery_tag
        publish.confirmed.add_done_callback(lambda _: channel.message_id_delivery_tag.pop(message_id, None))

    def _frames(self, publish: _Publish) -> list[bytes]:
        body, number = publish.body, self._channel.number
        header = content_header(number, len(body), publish.headers, publish.message_id)
        return [self._method(publish.queue), header, *body_frames(number, body, self._channel.max_content_size)]

    def _marshalled_method(self, queue: str) -> bytes:
        return frame.marshal(Basic.Publish(exchange="", routing_key=queue, mandatory=True), self._channel.number)

"""The bench's connection to RabbitMQ, for callers that block: publish in bulk or at a pace, count, purge."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import aio_pika
import uvloop
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import ConnectionInternalError
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from tests.support.amqp import BareProperties

BODY_FRAME = 120_000
"""Bytes of a body in one frame: below RabbitMQ's frame_max of 128 KiB."""

CHUNK = 200
"""Messages written at once when there is no pace to keep."""

CHUNK_BYTES = 4_000_000

LATE_SECONDS = 0.05
"""When the publisher was behind its pace by more than this, the tables say so."""

Message = tuple[bytes, Basic.Properties]


class Queues:
    """One connection and one channel without confirms. Nothing runs between calls, so there are no heartbeats, and
    nothing of what a call wrote may be left in the connection's buffer: it would stay there until the next one."""

    def __init__(self, uri: str) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._uri = f"{uri}?heartbeat=0"
        self._channel: Channel = self._run(self._open(self._uri))

    def close(self) -> None:
        logging.getLogger("aiormq.connection").setLevel(logging.ERROR)  # it warns when the broker hangs up first
        self._run(self._connection.close())
        self._runner.close()

    def depth(self, *queues: str) -> int:
        """Messages that are ready in these queues, together."""
        return sum(self._run(self._channel.queue_declare(queue, passive=True)).message_count or 0 for queue in queues)

    def purge(self, *queues: str) -> None:
        for queue in queues:
            self._run(self._channel.queue_purge(queue))

    def declare(self, queue: str) -> None:
        """A quorum queue without further arguments."""
        self._run(self._channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"}))

    def publish(self, queue: str, bodies: Iterable[bytes]) -> None:
        """Into a queue that may have a consumer; whether it arrives is the consumer's ledger to say."""
        self.publish_to("", queue, bodies)

    def publish_to(self, exchange: str, key: str, bodies: Iterable[bytes]) -> None:
        """To an exchange; whether it arrives is the caller's to see."""
        for chunk in _chunks((body, BareProperties(delivery_mode=2)) for body in bodies):
            self._run(self._write(exchange, key, chunk))
        self._run(self._read_by_broker())

    def declare_bound(self, exchange: str, queue: str, stream: str | None) -> None:
        """A topic exchange with a quorum queue, and with a stream beside it."""
        self.declare(queue)
        self._run(self._channel.exchange_declare(exchange, exchange_type="topic"))
        if stream is not None:
            self._run(self._channel.queue_declare(stream, durable=True, arguments={"x-queue-type": "stream"}))
        for name in filter(None, (queue, stream)):
            self._run(self._channel.queue_bind(name, exchange, "#"))

    def delete(self, *queues: str) -> None:
        """Once in some hundred times RabbitMQ 3.10 answers with an internal error, which ends the connection."""
        for queue in queues:
            try:
                self._run(self._channel.queue_delete(queue))
            except ConnectionInternalError:
                self._channel = self._run(self._open(self._uri))
                self._run(self._channel.queue_delete(queue))

    def fill(self, queue: str, bodies: Iterable[bytes]) -> None:
        """Publish, and wait until all of it is in the queue, on top of what was there. Nobody may consume yet."""
        self.send(queue, ((body, BareProperties(delivery_mode=2)) for body in bodies))

    def send(self, queue: str, messages: Iterable[Message], limit: float = 180.0) -> None:
        """As `fill`, with properties of the caller's. Raises TimeoutError when that takes longer than `limit` s."""
        before, sent = self.depth(queue), 0
        for chunk in _chunks(messages):
            self._run(self._write("", queue, chunk))
            sent += len(chunk)
        self.wait_depth(queue, before + sent, limit)

    def wait_depth(self, queue: str, wanted: int, limit: float = 180.0, *, more: bool = False) -> None:
        """Until so many are ready in it, or at least so many (`more`). Raises TimeoutError."""
        deadline = time.monotonic() + limit
        while (there := self.depth(queue)) != wanted and not (more and there > wanted):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{queue} holds {there} messages instead of {wanted} after {limit:.0f} s")
            time.sleep(0.02)

    def pace(
        self, exchange: str, key: str, make: Callable[[int, float], bytes], *, rate: float, until: Callable[[int], bool]
    ) -> float:
        """An open loop: `rate` events a second, whatever becomes of them, as Evolution publishes (delivery_mode 1).

        `make(number, sent)` gives the body, sent in seconds of the monotonic clock; ends before the first number
        for which `until` holds. Returns by how many seconds it was behind its own pace at worst.
        """
        worst: float = self._run(self._pace(exchange, key, make, rate, until))
        return worst

    async def _pace(
        self, exchange: str, key: str, make: Callable[[int, float], bytes], rate: float, until: Callable[[int], bool]
    ) -> float:
        properties = BareProperties(delivery_mode=1)
        began, number, worst = time.monotonic(), 0, 0.0
        while not until(number):
            now = time.monotonic()
            due = min(int((now - began) * rate) + 1, number + CHUNK)
            if due > number:
                worst = max(worst, now - began - number / rate)
                bodies = [make(each, now) for each in range(number, due) if not until(each)]
                await self._write(exchange, key, [(body, properties) for body in bodies])
                number += len(bodies)
            else:
                await asyncio.sleep(max(0.001, began + number / rate - now))
        await self._read_by_broker()
        return worst

    async def _open(self, uri: str) -> Channel:
        self._connection = await aio_pika.connect(uri)
        channel = await self._connection.channel(publisher_confirms=False)
        return cast(Channel, await channel.get_underlay_channel())

    async def _write(self, exchange: str, key: str, messages: Sequence[Message]) -> None:
        """Returns when the socket has taken nearly all of it."""
        publish = Basic.Publish(exchange=exchange, routing_key=key)
        frames: list[Any] = []
        for body, properties in messages:
            frames += [publish, ContentHeader(body_size=len(body), properties=properties)]
            frames += [ContentBody(body[start : start + BODY_FRAME]) for start in range(0, len(body), BODY_FRAME)]
        drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._channel.write_queue.put(ChannelFrame.marshall(self._channel.number, frames, drained))
        await drained

    async def _read_by_broker(self) -> None:
        """Until RabbitMQ has read all that was written: it answers a channel's frames in their order."""
        await self._channel.basic_qos()

    def _run(self, work: Any) -> Any:
        async def run() -> Any:
            return await work

        return self._runner.run(run())


def _chunks(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Few enough at a time, and not too many bytes of large ones."""
    chunk: list[Message] = []
    size = 0
    for message in messages:
        chunk.append(message)
        size += len(message[0])
        if len(chunk) == CHUNK or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk

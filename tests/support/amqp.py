"""The other side of RabbitMQ: publish as Evolution does, look into queues, empty them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from pamqp.commands import Basic, Queue

from tests.support.waiting import eventually

RETRY_STEPS = (*range(1, 31), 45, 135, 405, 1215, 3645, 10935, 21600)


@dataclass(frozen=True, slots=True)
class Names:
    """One test's own exchange and queues on the shared broker."""

    prefix: str
    exchange: str

    @property
    def events(self) -> str:
        return f"{self.prefix}.events"

    @property
    def retries(self) -> str:
        return f"{self.prefix}.retries"

    @property
    def dead(self) -> str:
        return f"{self.prefix}.dead"

    @property
    def ordered(self) -> str:
        return f"{self.prefix}.ordered"

    @property
    def config(self) -> str:
        return f"{self.prefix}.config"

    @property
    def history(self) -> str:
        return f"{self.prefix}.history"

    @property
    def archive(self) -> str:
        return f"{self.prefix}.archive"

    def retry(self, seconds: int) -> str:
        """The delay queue of that many seconds."""
        return f"{self.prefix}.retry.{seconds}s"

    def environment(self) -> dict[str, str]:
        return {"WORKER_QUEUE_PREFIX": self.prefix, "RABBITMQ_EXCHANGE_NAME": self.exchange}


class BareProperties(Basic.Properties):
    """Properties that go out without message_id, as Evolution's do: aiormq invents one for every publish."""

    def marshal(self) -> bytes:
        self.message_id = None
        return super().marshal()


class Amqp:
    """A connection of the test's own: `async with await Amqp.connect(uri) as amqp`. All confirmed."""

    def __init__(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        self.connection = connection
        self.channel = channel

    @classmethod
    async def connect(cls, uri: str) -> Self:
        connection = await aio_pika.connect(uri)
        return cls(connection, await connection.channel(on_return_raises=True))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self.connection.close()

    async def declare_exchange(self, name: str) -> None:
        """As Evolution declares its own: topic, durable, not auto-delete."""
        await self.channel.declare_exchange(name, aio_pika.ExchangeType.TOPIC, durable=True)

    async def declare_queue(
        self, name: str, *, bind: tuple[str, str] | None = None, arguments: Mapping[str, Any] | None = None
    ) -> None:
        """A quorum queue with more `arguments`, bound to `bind` = (exchange, routing key)."""
        queue = await self.channel.declare_queue(
            name, durable=True, arguments={"x-queue-type": "quorum", **(arguments or {})}
        )
        if bind is not None:
            await queue.bind(*bind)

    async def publish_event(self, exchange: str, routing_key: str, body: bytes | Mapping[str, Any]) -> None:
        """As Evolution: delivery_mode 1 and no other property, no header. Mappings go as compact JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        await self._publish(exchange, routing_key, raw, BareProperties(delivery_mode=1))

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        message_id: str | None = None,
        headers: Mapping[str, Any] | None = None,
    ) -> None:
        """Persistent, with what properties a test wants. Exchange "" addresses a queue by its name.

        Raises aio_pika's DeliveryError when no queue takes it, provided that there is a message_id.
        """
        make = BareProperties if message_id is None else Basic.Properties
        table = dict(headers) if headers is not None else None
        await self._publish(
            exchange, routing_key, body, make(delivery_mode=2, message_id=message_id or "", headers=table)
        )

    async def depth(self, queue: str) -> int | None:
        """Messages ready to be taken (without the un-acked ones); None when there is no such queue."""
        declared = await self._declared(queue)
        return None if declared is None else declared.message_count

    async def wait_depth(self, queue: str, count: int, timeout: float = 15.0) -> None:
        """Until the queue holds exactly `count` ready messages; AssertionError with the last depth."""
        await eventually(lambda: self.depth(queue), lambda depth: depth == count, timeout, f"{queue} to hold {count}")

    async def wait_consumed(self, queue: str, timeout: float = 15.0) -> None:
        """Until somebody consumes from it. A quorum queue that exists may have no leader yet: RabbitMQ nacks what is
        published to it then."""
        await eventually(
            lambda: self._declared(queue),
            lambda found: found is not None and bool(found.consumer_count),
            timeout,
            f"a consumer of {queue}",
        )

    async def consumers(self, queue: str) -> int:
        declared = await self._declared(queue)
        assert declared is not None, f"there is no queue {queue}"
        return declared.consumer_count or 0

    async def drain(self, queue: str) -> list[AbstractIncomingMessage]:
        """Takes and acks whatever is ready in the queue, in order."""
        source = await self.channel.get_queue(queue)
        messages = []
        while (message := await source.get(fail=False)) is not None:
            await message.ack()
            messages.append(message)
        return messages

    async def consume_ready(self, queue: str, timeout: float = 15.0) -> list[bytes]:
        """Bodies of what is ready in the queue, in order; acked. Also of one with a single active consumer, which
        RabbitMQ gives nothing of by basic.get. TimeoutError if it is another's: nothing comes for `timeout` seconds,
        however long all of it takes."""
        count, bodies, arrived = await self.depth(queue) or 0, list[bytes](), asyncio.Event()
        if not count:
            return []

        async def came(message: AbstractIncomingMessage) -> None:
            await message.ack()
            bodies.append(message.body)
            arrived.set()

        source = await self.channel.get_queue(queue)
        tag = await source.consume(came)
        while len(bodies) < count:
            arrived.clear()
            await asyncio.wait_for(arrived.wait(), timeout)
        await source.cancel(tag)
        return bodies

    async def purge(self, queue: str) -> None:
        await (await self.channel.get_queue(queue)).purge()

    async def delete(self, names: Names) -> None:
        """All queues and exchanges of a test; those that do not exist are no error."""
        channel = await self._underlay()
        ordered = [names.ordered, *(f"{names.ordered}.{number}" for number in range(1, 4))]
        beside = [names.history, names.archive, *ordered]
        queues = [names.events, names.retries, names.dead, *beside, *map(names.retry, RETRY_STEPS)]
        await asyncio.gather(*(channel.queue_delete(queue) for queue in queues))
        await asyncio.gather(
            *(channel.exchange_delete(name) for name in (names.exchange, names.config, f"{names.ordered}.bound"))
        )

    async def _declared(self, queue: str) -> Queue.DeclareOk | None:
        channel = await self.connection.channel()
        try:
            declared = await channel.declare_queue(queue, passive=True)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return None
        await channel.close()
        return declared.declaration_result

    async def _publish(self, exchange: str, key: str, body: bytes, properties: Basic.Properties) -> None:
        channel = await self._underlay()
        # Evolution's publishes are not mandatory. A return is matched by message_id: without one it would be lost.
        mandatory = not isinstance(properties, BareProperties)
        await channel.basic_publish(
            body, exchange=exchange, routing_key=key, properties=properties, mandatory=mandatory
        )

    async def _underlay(self) -> aiormq.abc.AbstractChannel:
        return await self.channel.get_underlay_channel()

"""Methods with names as operators and Evolution choose them: pamqp allows fewer than RabbitMQ does.

An exchange bears its instance's name, which holds any character; pamqp knows ASCII letters, digits and
`-_.:@#,/+ ` alone, at most 127. Here RabbitMQ judges.
"""

import struct
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

from aiormq.abc import ConsumerCallback, DeliveredMessage
from aiormq.channel import Channel
from aiormq.exceptions import ChannelInvalidStateError

from worker.broker.aiormq_internals import register_consumer, write
from worker.broker.alike import Take
from worker.broker.pamqp_internals import BasicConsume, ExchangeDeclare, QueueBind, QueueDeclare, QueueUnbind
from worker.broker.properties import headers_of_use


async def declare_exchange(channel: Channel, name: str, kind: str = "topic", *, passive: bool = False) -> None:
    """Declares it durable; `passive` only checks that it exists."""
    await channel.rpc(ExchangeDeclare(exchange=name, exchange_type=kind, durable=True, passive=passive))


class Depth(NamedTuple):
    """Messages that are ready, and consumers."""

    ready: int
    consumers: int


async def depth(channel: Channel, name: str) -> Depth:
    """Counts a queue's ready messages and consumers. No such queue: the channel closes (ChannelNotFoundEntity)."""
    answer = await channel.rpc(QueueDeclare(queue=name, durable=True, passive=True))
    return Depth(answer.message_count or 0, answer.consumer_count or 0)


async def declare_queue(
    channel: Channel, name: str, arguments: Mapping[str, str | int] | None = None, *, passive: bool = False
) -> int:
    """Declares it durable; `passive` only checks that it exists. Returns how many consumers it has."""
    declare = QueueDeclare(queue=name, durable=True, passive=passive, arguments=dict(arguments or {}))
    return (await channel.rpc(declare)).consumer_count or 0


async def bind_queue(channel: Channel, queue: str, exchange: str) -> None:
    """Every routing key of a topic exchange."""
    await channel.rpc(QueueBind(queue=queue, exchange=exchange, routing_key="#"))


async def unbind_queue(channel: Channel, queue: str, exchange: str) -> None:
    """Undoes `bind_queue`; without such a binding or exchange nothing happens."""
    await channel.rpc(QueueUnbind(queue=queue, exchange=exchange, routing_key="#"))


async def consume(
    channel: Channel,
    queue: str,
    callback: ConsumerCallback,
    arguments: Mapping[str, str | int | datetime] | None = None,
    *,
    take: Take | None = None,
) -> str:
    """Returns the consumer's tag.

    `take` gets what is cut out of the bytes of a connection that has a cutter, `callback` everything else.
    """
    tag = f"ctag{channel.number}.{uuid4().hex}"
    register_consumer(channel, tag, callback, take)
    await channel.rpc(BasicConsume(queue=queue, consumer_tag=tag, arguments=dict(arguments or {})))
    return tag


async def consume_cut(
    channel: Channel, queue: str, take: Take, arguments: Mapping[str, str | int | datetime] | None = None
) -> str:
    """As `consume`: `take` gets every delivery, on a connection without a cutter by way of aiormq."""
    return await consume(channel, queue, plain_way(take), arguments, take=take)


def plain_way(take: Take) -> ConsumerCallback:
    """Hands over what was not cut out of the connection's bytes."""

    async def heard(delivered: DeliveredMessage) -> None:
        properties, tag = delivered.header.properties, delivered.delivery_tag or 0
        exchange, routing_key = delivered.exchange or "", delivered.routing_key or ""
        headers, redelivered = headers_of_use(properties.headers), bool(delivered.redelivered)
        take(delivered.body, headers, properties.message_id, exchange, routing_key, tag, redelivered)

    return heard


_ACK = struct.Struct(">BHIHHQ?B")  # a method frame of `basic.ack` (AMQP 0-9-1, 4.2.4 and 1.8.3.13)


_NACK = struct.Struct(">BHIHHQBB")
"""`basic.nack`, RabbitMQ's extension (class 60, method 120). Its last bits: multiple, requeue."""


def settlements(channel: Channel, acks: Iterable[tuple[int, bool]], nacks: Iterable[tuple[int, bool]]) -> bytes:
    """Frames of acks (delivery tag, multiple), then of nacks (delivery tag, requeue).

    aiormq's `basic_ack` takes 25 us and a write each. Behind a receiver that hangs, every message is acked by itself.
    """
    number = channel.number
    frames = [_ACK.pack(1, number, 13, 60, 80, tag, multiple, 0xCE) for tag, multiple in acks]
    # nack, not reject: from RabbitMQ 4.3 on only reject counts towards the delivery limit.
    frames += [_NACK.pack(1, number, 13, 60, 120, tag, 2 * requeue, 0xCE) for tag, requeue in nacks]
    return b"".join(frames)


async def acknowledge(channel: Channel, acks: Iterable[tuple[int, bool]]) -> None:
    """(delivery tag, multiple) of each, in one write. Raises ChannelInvalidStateError."""
    if channel.is_closed:
        raise ChannelInvalidStateError(f"{channel!r} closed")
    await write(channel, settlements(channel, acks, ()))

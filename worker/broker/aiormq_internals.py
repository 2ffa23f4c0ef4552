"""What is reached into of aiormq, which documents its calls but not the state of a channel.

aio-pika and aiormq are capped to a minor version in pyproject.toml for this file's sake, and
tests/broker/test_aiormq_internals.py names what has moved when another one is tried.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractConnection as Connection
from aiormq.abc import ChannelFrame, ConsumerCallback
from aiormq.channel import Channel
from pamqp.common import FieldTable

CHANNEL_FRAME_BUFFER = 1024
"""Frames read ahead of a channel's reader task; aiormq's 10 makes two tasks take turns for every message."""


def connection_beneath(connection: AbstractConnection) -> Connection | None:
    """aiormq's connection under aio-pika's; None once it is closed."""
    if connection.transport is None:
        return None
    return connection.transport.connection


def server_properties(connection: AbstractConnection) -> FieldTable:
    """What the broker said of itself at the start (AMQP 0-9-1, Connection.Start); {} once the connection is closed."""
    beneath = connection_beneath(connection)
    return {} if beneath is None else beneath.server_properties


async def channel_on(connection: Connection, *, confirms: bool) -> Channel:
    channel = await connection.channel(
        publisher_confirms=confirms, on_return_raises=True, frame_buffer_size=CHANNEL_FRAME_BUFFER
    )
    assert isinstance(channel, Channel)
    return channel


def refusal_of(error: BaseException) -> str:
    """What the broker says as it refuses a virtual host (the Connection.Close after Connection.Open); "" if nothing.

    aiormq drops the text: its error names a frame that was not expected, which only the traceback still holds.
    """
    for step, _ in traceback.walk_tb(error.__traceback__):
        text = getattr(step.f_locals.get("frame"), "reply_text", None)
        if isinstance(text, str) and text:
            return text
    return ""


def closing_of(connected: Connection | Channel) -> asyncio.Future[Any]:
    """Ends when the connection or channel does, as a future of its own for each call."""
    return connected.closing


def publishes_taken(connection: Connection) -> Callable[[], Awaitable[None]]:
    """Waits while the broker has blocked the connection (Connection.Blocked)."""
    return connection.ready


def register_consumer(channel: Channel, tag: str, callback: ConsumerCallback) -> None:
    """Before `basic.consume` with this tag is sent: a delivery may be read before its answer."""
    channel.consumers[tag] = callback


def is_registered(channel: Channel, tag: str) -> bool:
    """Neither we nor the broker has cancelled this consumer."""
    return tag in channel.consumers


def on_consumer_cancelled(channel: Channel, call: Callable[[], None]) -> None:
    """The broker cancels a consumer when its queue is deleted or moves."""
    channel.on_consumer_cancel_callbacks.add(lambda _: call())


async def write(channel: Channel, payload: bytes) -> None:
    """Frames that are marshalled already, in one write; waits while the connection's queue (ten frames) is full."""
    await channel.write_queue.put(ChannelFrame(payload=payload, should_close=False))


def expect_confirm(channel: Channel, publish: asyncio.Future[Any], message_id: str) -> None:
    """The next message that is published on the channel is this one: its confirm, nack or return ends the future."""
    channel.delivery_tag += 1
    channel.confirmations[channel.delivery_tag] = publish
    channel.message_id_delivery_tag[message_id] = channel.delivery_tag


def forget_return(channel: Channel, message_id: str) -> None:
    """The publish has ended, so that nothing of it can be returned any more. aiormq keeps the entry."""
    channel.message_id_delivery_tag.pop(message_id, None)


def forget_confirms(channel: Channel) -> None:
    """aiormq never does after a channel's end: all bodies would live until the garbage collector comes."""
    channel.confirmations.clear()

"""What is reached into of aiormq, which documents its calls but not the state of a channel.

aio-pika and aiormq are capped to a minor version in pyproject.toml for this file's sake, and
tests/broker/test_aiormq_internals.py names what has moved when another one is tried.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import takewhile
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractConnection as Connection
from aiormq.abc import ChannelFrame, ConsumerCallback
from aiormq.channel import Channel
from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError
from pamqp.common import FieldTable
from yarl import URL

from worker.broker.alike import Take
from worker.broker.cutter import Cutter

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


class CuttingTransport(TransportFactory):
    """Connects like aiormq's own two, with a cutter between the socket and aiormq; of one connection alone."""

    cutter: Cutter | None = None

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        contexts, loop = options.pop("ssl_context_provider"), asyncio.get_running_loop()
        context = await contexts.get_context() if url.scheme == "amqps" else None
        reader = asyncio.StreamReader(loop=loop)
        behind = asyncio.StreamReaderProtocol(reader, loop=loop)
        self.cutter = cutter = Cutter(behind, loop.time)
        try:
            place: Any = (url.host, url.port)
            transport, _ = await loop.create_connection(lambda: cutter, *place, ssl=context, **options)
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        return reader, asyncio.StreamWriter(transport, behind, reader, loop)


class OurConnection(aio_pika.Connection):
    """One that was never opened (the handshake failed) closes nothing when it is collected; others we close ourselves.

    aio-pika's finalizer starts a task, and whichever thread collects may have no loop: a warning, and nothing closed.
    """

    def __del__(self) -> None:
        pass


class CuttingConnection(OurConnection):
    """A connection whose deliveries and confirms can be cut out of its bytes (`register_consumer`, `take_confirms`)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.kwargs["transport_factory"] = CuttingTransport()  # aio-pika hands it on to aiormq's connection


def cutter_of(channel: Channel) -> Cutter | None:
    """Of the channel's connection; None: it has none."""
    transport = getattr(channel.connection, "_transport_factory", None)
    return transport.cutter if isinstance(transport, CuttingTransport) else None


def register_consumer(channel: Channel, tag: str, callback: ConsumerCallback, take: Take | None = None) -> None:
    """Before `basic.consume` with this tag is sent: a delivery may be read before its answer.

    `take`, and all that it holds, is let go of with the channel, or before by `forget_taker`.
    """
    channel.consumers[tag] = callback
    if take is not None and (cutter := cutter_of(channel)) is not None:
        cutter.add(tag, take)
        closing_of(channel).add_done_callback(lambda _: cutter.remove(tag))


def forget_taker(channel: Channel, tag: str) -> None:
    """After its `basic.cancel-ok`: nothing more comes."""
    if (cutter := cutter_of(channel)) is not None:
        cutter.remove(tag)


def is_registered(channel: Channel, tag: str) -> bool:
    """Neither we nor the broker has cancelled this consumer."""
    return tag in channel.consumers


def on_consumer_cancelled(channel: Channel, call: Callable[[], None]) -> None:
    """The broker cancels a consumer when its queue is deleted or moves."""
    channel.on_consumer_cancel_callbacks.add(lambda _: call())


async def write(channel: Channel, payload: bytes) -> None:
    """Frames that are marshalled already, in one write; waits while the connection's queue (ten frames) is full."""
    await channel.write_queue.put(ChannelFrame(payload=payload, should_close=False))


def write_now(channel: Channel, payload: bytes) -> bool:
    """As `write`, past aiormq's queue and the task that empties it. False: the connection has no cutter, use `write`.

    Not between the frames of a message that is published on this channel: aiormq writes those at once, too.
    """
    cutter = cutter_of(channel)
    return cutter is not None and cutter.write(payload)


def expect_confirm(channel: Channel, publish: asyncio.Future[Any], message_id: str) -> None:
    """The next message that is published on the channel is this one: its confirm, nack or return ends the future."""
    channel.delivery_tag += 1
    channel.confirmations[channel.delivery_tag] = publish
    channel.message_id_delivery_tag[message_id] = channel.delivery_tag


def take_confirms(channel: Channel) -> None:
    """Of a new channel, once and before anything is published on it: past aiormq's queue and its reader (cutter.py).

    Where cutting has ended, acks must not be cut again: they would overtake what aiormq has still to read.
    """
    if (cutter := cutter_of(channel)) is not None:
        cutter.add_confirms(channel.number, partial(_confirm, channel.confirmations))


def _confirm(expected: dict[int, asyncio.Future[Any]], tag: int, multiple: bool) -> None:
    """As aiormq's reader does. Those of before are the first ones: they stand in the order of their numbers."""
    for number in list(takewhile(tag.__ge__, expected)) if multiple else [tag]:
        publish = expected.pop(number, None)
        if publish is not None and not publish.done():
            publish.set_result(None)


def forget_return(channel: Channel, message_id: str) -> None:
    """The publish has ended, so that nothing of it can be returned any more. aiormq keeps the entry."""
    channel.message_id_delivery_tag.pop(message_id, None)


def forget_confirms(channel: Channel) -> None:
    """aiormq never does after a channel's end: all bodies would live until the garbage collector comes."""
    channel.confirmations.clear()

"""Changes of webhooks, published to every replica through the fanout exchange `<prefix>.config`, and heard there."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable

import aiormq
import msgspec
from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from worker.basics.address import Address
from worker.broker.aiormq_internals import closing_of, connection_beneath, is_registered
from worker.broker.connection import BROKER_ERRORS, as_broker_errors, close, connect, in_words, while_open
from worker.broker.declare import open_channel
from worker.broker.frames import declare_exchange

log = logging.getLogger(__name__)

KEPT_SECONDS = 2.0
"""Seconds to wait for a confirm on the process's own connection: it may be dead before its heartbeat shows it."""

OWN_SECONDS = 5.0
"""Seconds to announce over a new connection, confirms included."""

CLOSE_SECONDS = 1.0
"""Seconds to close it: behind a memory alarm RabbitMQ reads nothing from a publisher, Connection.Close included."""


ORDER_TYPE = "order"
"""The message type of what replicas tell each other about ordered delivery over the same exchange."""


class Change(msgspec.Struct, frozen=True):
    """One instance's webhooks have changed; `revision` is the store's count of its changes."""

    instance: str
    revision: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Change).decode


class ChangeListener:
    """This process's own queue on the exchange: exclusive, so that it goes when the connection does.

    `<prefix>.config.<random>`, not a name of the server's: rights on `<prefix>.*` are enough for it, and the queue
    of a lost connection, which the broker may hold a little longer, is not in the way.
    """

    def __init__(self, exchange: str, on_change: Callable[[str, int], None]) -> None:
        self._exchange = exchange
        self._on_change = on_change
        self._channel: Channel | None = None
        self._tag = ""

    @property
    def healthy(self) -> bool:
        """Whether the broker still sends changes here. True as well where the user lacks the rights to listen."""
        channel = self._channel
        return channel is None or (not channel.is_closed and is_registered(channel, self._tag))

    async def listen(self, connection: AbstractConnection) -> None:
        """Consumes on a new connection. Without the rights or room for it, only CACHE_TTL_SECONDS brings changes."""
        self._channel = None
        channel = await open_channel(connection)
        try:
            queue = f"{self._exchange}.{secrets.token_hex(8)}"
            await channel.queue_declare(queue, exclusive=True, auto_delete=True)
            await channel.queue_bind(queue, self._exchange)
            answer = await channel.basic_consume(queue, self._heard, no_ack=True)
        except (aiormq.exceptions.ChannelAccessRefused, aiormq.exceptions.ChannelPreconditionFailed) as error:
            log.warning("changes of webhooks cannot be heard, only CACHE_TTL_SECONDS brings them: %s", error)
            return
        self._channel, self._tag = channel, answer.consumer_tag or ""

    async def _heard(self, message: DeliveredMessage) -> None:
        if message.header.properties.message_type == ORDER_TYPE:
            return
        try:
            change = _decode(message.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("somebody published no change to %s: %s", self._exchange, error)
            return
        self._on_change(change.instance, change.revision)


class Announcer:
    """Publishes changes to the fanout exchange. `connection` gives the process's own one, or None while it is away.

    On a channel of its own there: what the broker refuses closes the channel, and deliveries must not feel that.
    """

    def __init__(self, uri: str | Address, exchange: str, connection: Callable[[], AbstractConnection | None]) -> None:
        self._uri = uri
        self._exchange = exchange
        self._connection = connection
        self._opening = asyncio.Lock()
        self._on: AbstractConnection | None = None
        self._channel: Channel | None = None

    async def announce(self, instance: str, revision: int) -> str | None:
        """Publishes one change, within eight seconds; the problem, or None. A change that comes twice does no harm."""
        connection = self._connection()
        if connection is not None and await self._published(connection, instance, revision):
            return None
        return await announce_once(self._uri, self._exchange, instance, revision)

    async def _published(self, connection: AbstractConnection, instance: str, revision: int) -> bool:
        try:
            with as_broker_errors():
                async with asyncio.timeout(KEPT_SECONDS):
                    await while_open(connection, self._publish(connection, instance, revision))
        except BROKER_ERRORS:
            return False
        return True

    async def _publish(self, connection: AbstractConnection, instance: str, revision: int) -> None:
        async with self._opening:
            if self._channel is None or self._channel.is_closed or self._on is not connection:
                self._channel, self._on = await open_channel(connection, confirms=True), connection
            channel = self._channel
        await announce(channel, self._exchange, instance, revision)


class KeptConnection:
    """A connection that is there for announcements alone (a supervisor's client)."""

    def __init__(self) -> None:
        self.current: AbstractConnection | None = None

    async def opened(self, connection: AbstractConnection) -> None:
        self.current = connection

    async def broken(self) -> None:
        beneath = None if self.current is None else connection_beneath(self.current)
        if beneath is not None:
            await asyncio.wait((closing_of(beneath),))

    def state(self, connected: bool) -> None:
        if not connected:
            self.current = None


async def announce(channel: Channel, exchange: str, instance: str, revision: int) -> None:
    """Publishes one change and waits for its confirm. Raises what a broken connection raises."""
    await channel.basic_publish(_encode(Change(instance, revision)), exchange=exchange)


async def announce_once(uri: str | Address, exchange: str, instance: str, revision: int) -> str | None:
    """Publishes one change over a connection of its own; the problem, or None."""
    return await announce_all(uri, exchange, [(instance, revision)])


async def announce_all(uri: str | Address, exchange: str, changes: Iterable[tuple[str, int]]) -> str | None:
    """Publishes many changes (instance and revision) over one connection of their own; the problem, or None.

    The exchange is a worker's to declare (or, with RABBITMQ_DECLARE=false, the operator's): without it nobody listens.
    """
    try:
        async with asyncio.timeout(OWN_SECONDS):
            await _publish_all(uri, exchange, changes)
    except aiormq.exceptions.ChannelNotFoundEntity:
        return None  # no worker has run yet, so nobody listens
    except TimeoutError:
        return f"RabbitMQ did not take it within {OWN_SECONDS:g} s"
    except (*BROKER_ERRORS, ValueError) as error:
        return in_words(error)
    return None


async def _publish_all(uri: str | Address, exchange: str, changes: Iterable[tuple[str, int]]) -> None:
    connection = await connect(uri, "evolution-webhook-worker command")
    try:
        with as_broker_errors():
            channel = await open_channel(connection, confirms=True)
            await declare_exchange(channel, exchange, "fanout", passive=True)
            for instance, revision in changes:
                await announce(channel, exchange, instance, revision)
    finally:
        await close(connection, CLOSE_SECONDS)

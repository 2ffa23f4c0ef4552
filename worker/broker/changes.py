"""Changes of webhooks, told to every replica through the fanout exchange `<prefix>.config`."""

import logging
import secrets
from collections.abc import Callable, Iterable

import aiormq
import msgspec
from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from worker.broker.connection import BROKER_ERRORS, as_broker_errors, close, connect, said
from worker.broker.declare import open_channel
from worker.broker.frames import declare_exchange

log = logging.getLogger(__name__)


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
        """Nobody has closed its channel or cancelled its consumer; true as well without the rights to listen."""
        channel = self._channel
        return channel is None or (not channel.is_closed and self._tag in channel.consumers)

    async def listen(self, connection: AbstractConnection) -> None:
        """Begin on a new connection. Without the rights for it, changes arrive by CACHE_TTL_SECONDS only."""
        self._channel = None
        channel = await open_channel(connection)
        try:
            queue = f"{self._exchange}.{secrets.token_hex(8)}"
            await channel.queue_declare(queue, exclusive=True, auto_delete=True)
            await channel.queue_bind(queue, self._exchange)
            answer = await channel.basic_consume(queue, self._heard, no_ack=True)
        except aiormq.exceptions.ChannelAccessRefused as error:
            log.warning("changes of webhooks cannot be heard, only CACHE_TTL_SECONDS brings them: %s", error)
            return
        self._channel, self._tag = channel, answer.consumer_tag or ""

    async def _heard(self, message: DeliveredMessage) -> None:
        try:
            change = _decode(message.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("somebody published no change to %s: %s", self._exchange, error)
            return
        self._on_change(change.instance, change.revision)


async def announce(channel: Channel, exchange: str, instance: str, revision: int) -> None:
    """Tell every replica. Raises what a broken connection raises."""
    await channel.basic_publish(_encode(Change(instance, revision)), exchange=exchange)


async def announce_once(uri: str, exchange: str, instance: str, revision: int) -> str | None:
    """The same over a connection of its own; the problem, or None."""
    return await announce_all(uri, exchange, [(instance, revision)])


async def announce_all(uri: str, exchange: str, changes: Iterable[tuple[str, int]]) -> str | None:
    """Many changes (instance and revision) over one connection of their own; the problem, or None.

    The exchange is a worker's to declare (or, with RABBITMQ_DECLARE=false, the operator's): without it nobody listens.
    """
    try:
        connection = await connect(uri, "evolution-webhook-worker command")
    except (*BROKER_ERRORS, ValueError) as error:
        return said(error)
    try:
        with as_broker_errors():
            channel = await open_channel(connection, confirms=True)
            await declare_exchange(channel, exchange, "fanout", passive=True)
            for instance, revision in changes:
                await announce(channel, exchange, instance, revision)
    except aiormq.exceptions.ChannelNotFoundEntity:
        return None  # no worker has run yet, so there is nobody to tell
    except BROKER_ERRORS as error:
        return said(error)
    finally:
        await close(connection)
    return None

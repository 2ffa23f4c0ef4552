"""Changes of webhooks, heard through the fanout exchange `<prefix>.config` (announcer.py tells them)."""

import logging
import secrets
from collections.abc import Callable

import aiormq
import msgspec
from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from worker.broker.declare import open_channel

log = logging.getLogger(__name__)


class Change(msgspec.Struct, frozen=True):
    """One instance's webhooks have changed; `revision` is the store's count of its changes."""

    instance: str
    revision: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Change).decode


def encoded(instance: str, revision: int) -> bytes:
    """A change as the message that listeners read."""
    return _encode(Change(instance, revision))


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

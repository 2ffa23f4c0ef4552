"""What replicas tell each other about who is active, over the exchange that announces changes; and their ticks."""

import asyncio
import logging
import secrets
from collections.abc import Callable

import msgspec
from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
from pamqp.commands import Basic

from worker.broker.announcements import ORDER_TYPE
from worker.broker.connection import BROKER_ERRORS, as_broker_errors, in_words
from worker.broker.declare import open_channel
from worker.broker.frames import depth
from worker.ordered.deciding.ports import Announcement

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Announcement).decode


class Hearing:
    """This replica's queue of announcements. On the consuming connection: an alarm does not stop what comes."""

    def __init__(self, exchange: str, heard: Callable[[Announcement], None]) -> None:
        self._exchange = exchange
        self._heard = heard
        self._queue = f"{exchange}.{secrets.token_hex(8)}"
        self._channel: Channel | None = None

    async def listen(self, connection: AbstractConnection) -> None:
        channel = self._channel = await open_channel(connection)
        await channel.queue_declare(self._queue, exclusive=True, auto_delete=True)
        await channel.queue_bind(self._queue, self._exchange)
        await channel.basic_consume(self._queue, self._on_message, no_ack=True)

    async def ask(self) -> None:
        """Returns when RabbitMQ has answered, behind everything that the queue held."""
        assert self._channel is not None
        with as_broker_errors():
            await depth(self._channel, self._queue)

    async def _on_message(self, message: DeliveredMessage) -> None:
        if message.header.properties.message_type != ORDER_TYPE:
            return  # a change of a webhook
        try:
            announcement = _decode(message.body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("somebody published no announcement to %s: %s", self._exchange, error)
            return
        self._heard(announcement)


async def overheard(connection: AbstractConnection, exchange: str, seconds: float) -> Announcement | None:
    """The next announcement of an active replica; None: there is none within so many seconds. Raises BROKER_ERRORS."""
    heard: asyncio.Future[Announcement] = asyncio.get_running_loop().create_future()

    def hear(announcement: Announcement) -> None:
        if not (announcement.taking_over or heard.done()):
            heard.set_result(announcement)

    with as_broker_errors():
        await Hearing(exchange, hear).listen(connection)
        try:
            return await asyncio.wait_for(heard, seconds)
        except TimeoutError:
            return None


class Telling:
    """Announcements and ticks, one after the other on a channel of the publishing connection."""

    def __init__(
        self,
        exchange: str,
        queue: str,
        connection: Callable[[], AbstractConnection | None],
        confirmed: Callable[[int], None],
    ) -> None:
        self._exchange = exchange
        self._queue = queue
        self._connection = connection
        self._confirmed = confirmed
        self._on: AbstractConnection | None = None
        self._channel: Channel | None = None
        self._turn = asyncio.Lock()

    async def announce(self, announcement: Announcement) -> None:
        await self._publish(self._exchange, "", _encode(announcement))

    async def tick(self, number: int) -> None:
        if await self._publish("", self._queue, b"") and number:
            self._confirmed(number)

    async def _publish(self, exchange: str, key: str, body: bytes) -> bool:
        properties = Basic.Properties(message_type=ORDER_TYPE, delivery_mode=2 if key else 1)
        try:
            with as_broker_errors():
                async with self._turn:
                    channel = await self._open()
                    publishing = channel.basic_publish(body, exchange=exchange, routing_key=key, properties=properties)
                    sent = asyncio.ensure_future(publishing)
                    await asyncio.sleep(0)
                await sent
        except BROKER_ERRORS as error:
            log.debug("not announced: %s", in_words(error))
            return False
        return True

    async def _open(self) -> Channel:
        connection = self._connection()
        if connection is None:
            raise ConnectionError("no connection to publish on")
        if self._channel is None or self._channel.is_closed or self._on is not connection:
            self._channel, self._on = await open_channel(connection, confirms=True), connection
        return self._channel

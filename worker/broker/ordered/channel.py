"""One channel that consumes one queue in order: messages leave it by an ack, or all together when it closes."""

import asyncio
import logging
from collections.abc import Callable

from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel

from worker.broker.aiormq_internals import on_consumer_cancelled
from worker.broker.barrier import wait_until_acks_are_stored
from worker.broker.connection import BROKER_ERRORS, as_broker_errors
from worker.broker.consuming.acks import AckLedger
from worker.broker.consuming.consumption import ACK_PERIOD_SECONDS
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.frames import acknowledge, consume

log = logging.getLogger(__name__)


class OrderedChannel:
    """A TakenMessage's channel that never nacks.

    A nack lets newer messages pass, and a cancelled consumer keeps what it has while another one gets what is newer: so
    there is neither. `on_cancelled` is called when the broker cancels the consumer.
    """

    def __init__(
        self,
        channel: Channel,
        queue: str,
        take: Callable[[TakenMessage], None],
        on_cancelled: Callable[[], None],
    ) -> None:
        on_consumer_cancelled(channel, on_cancelled)
        self._channel = channel
        self._queue = queue
        self._take = take
        self._ledger = AckLedger()
        self._flushing: asyncio.Task[None] | None = None
        self.closed = False

    async def consume(self, prefetch: int) -> None:
        await self._channel.basic_qos(prefetch_count=prefetch)
        await consume(self._channel, self._queue, self._on_message)

    def ack(self, message: TakenMessage) -> None:
        if self.closed:
            return
        self._ledger.ack(message.tag)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    def hand_back(self, message: TakenMessage) -> None:
        """It goes back when the channel closes, with all others and in its place."""

    def reject(self, message: TakenMessage) -> None:  # noqa: ARG002 - the port's
        raise AssertionError("nothing is rejected in order")

    def dead_letters(self, queue: str) -> bool:  # noqa: ARG002 - the port's
        return False

    async def acks_stored(self) -> None:
        """Waits until the queue has stored the acks of all that was settled. What comes meanwhile stays un-acked."""
        await self._sent()
        with as_broker_errors():
            await wait_until_acks_are_stored(self._channel, self._queue)

    async def close(self) -> None:
        """Sends the last acks; everything else goes back in its order."""
        await self._sent()
        self.closed = True
        with as_broker_errors():
            await self._channel.close()

    def lost(self) -> None:
        """The connection is gone, and the channel with it."""
        self.closed = True
        if self._flushing is not None:
            self._flushing.cancel()

    async def _on_message(self, delivered: DeliveredMessage) -> None:
        if not self.closed:
            properties, tag = delivered.header.properties, delivered.delivery_tag or 0
            message = TakenMessage(
                self,
                self._queue,
                delivered.body,
                properties.headers or {},
                properties.message_id,
                delivered.exchange or "",
                delivered.routing_key or "",
                tag,
                bool(delivered.redelivered),
            )
            self._ledger.taken(tag)
            self._take(message)

    async def _sent(self) -> None:
        while self._flushing is not None and not self._flushing.done():
            await asyncio.wait({self._flushing})

    async def _flush(self) -> None:
        try:
            while self._ledger.pending:
                await asyncio.sleep(ACK_PERIOD_SECONDS)
                with as_broker_errors():
                    await acknowledge(self._channel, self._ledger.take())
        except BROKER_ERRORS as error:
            log.info("settled messages of %s could not be acked: %s", self._queue, error)

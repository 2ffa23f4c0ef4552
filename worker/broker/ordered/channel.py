"""One channel that consumes one queue in order: messages leave it by an ack, or all together when it closes."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from aiormq.channel import Channel

from worker.basics.tasks import Tasks
from worker.broker.aiormq_internals import closing_of, forget_taker, on_consumer_cancelled, write, write_now
from worker.broker.barrier import wait_until_acks_are_stored
from worker.broker.connection import BROKER_ERRORS, as_broker_errors
from worker.broker.consuming.acks import AckLedger
from worker.broker.consuming.consumption import ACK_PERIOD_SECONDS
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.frames import consume_cut, settlements

log = logging.getLogger(__name__)


class OrderedChannel:
    """A TakenMessage's channel that never nacks.

    A nack lets newer messages pass, and a cancelled consumer keeps what it has while another one gets what is newer: so
    there is neither. `on_cancelled` is called when the broker cancels the consumer, or closes the channel: as it does
    to whoever holds a message for longer than its consumer_timeout.
    """

    def __init__(
        self,
        channel: Channel,
        queue: str,
        take: Callable[[TakenMessage], None],
        on_cancelled: Callable[[], None],
    ) -> None:
        on_consumer_cancelled(channel, on_cancelled)
        closing_of(channel).add_done_callback(lambda _: None if self.closed else on_cancelled())
        self._channel = channel
        self._queue = queue
        self._take = take
        self._ledger = AckLedger()
        self._flushing: asyncio.TimerHandle | None = None
        self._writing = Tasks()
        self._tag = ""
        self.closed = False

    async def consume(self, prefetch: int) -> None:
        self._ledger.expect(prefetch)
        await self._channel.basic_qos(prefetch_count=prefetch)
        self._tag = await consume_cut(self._channel, self._queue, self._taken)

    def ack(self, message: TakenMessage) -> None:
        if self.closed:
            return
        self._ledger.ack(message.tag)
        if self._flushing is None:
            self._flush_soon()

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
        try:
            with as_broker_errors():
                await self._channel.close()
        finally:
            forget_taker(self._channel, self._tag)

    def lost(self) -> None:
        """The connection is gone, and the channel with it."""
        self.closed = True
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None

    def _taken(
        self,
        body: bytes,
        headers: Mapping[str, object],
        message_id: str | None,
        exchange: str,
        routing_key: str,
        tag: int,
        redelivered: bool,
    ) -> None:
        """Never raises (cutter.Take): a message that a fault kept from being taken is un-acked, and so are those behind
        it until the connection ends."""
        if self.closed:
            return  # what was read already still comes
        try:
            self._ledger.taken(tag)
            self._take(
                TakenMessage(self, self._queue, body, headers, message_id, exchange, routing_key, tag, redelivered)
            )
        except Exception:
            log.exception("an ordered message could not be taken")

    def _flush_soon(self) -> None:
        self._flushing = asyncio.get_running_loop().call_later(ACK_PERIOD_SECONDS, self._flush)

    def _flush(self) -> None:
        """A call and no task, and one write, however few there are to ack."""
        self._flushing = None
        if self._channel.is_closed:
            log.info("settled messages of %s could not be acked: the channel is closed", self._queue)
            return
        acks = self._ledger.take()
        if acks:
            frames = settlements(self._channel, acks, ())
            if not write_now(self._channel, frames):
                self._writing.start(self._write(frames))
        if self._ledger.pending:
            self._flush_soon()

    async def _write(self, frames: bytes) -> None:
        """The plain way, on a connection without a cutter."""
        try:
            with as_broker_errors():
                await write(self._channel, frames)
        except BROKER_ERRORS as error:
            log.info("settled messages of %s could not be acked: %s", self._queue, error)

    async def _sent(self) -> None:
        while self._flushing is not None:  # a little more than PATIENCE times, for what waits behind an unfinished one
            self._flushing.cancel()
            self._flush()
        await self._writing.finished()

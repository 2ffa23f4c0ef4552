"""One channel with its consumers: the messages taken, their acks and nacks, the bytes that are held."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from aio_pika.abc import AbstractConnection
from aiormq.channel import Channel

from worker.basics.tasks import Tasks
from worker.broker.aiormq_internals import (
    closing_of,
    forget_taker,
    is_registered,
    on_consumer_cancelled,
    write,
    write_now,
)
from worker.broker.barrier import wait_until_acks_are_stored
from worker.broker.connection import BROKER_ERRORS, as_broker_errors
from worker.broker.consuming.acks import AckLedger
from worker.broker.consuming.redeliveries import Redeliveries
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.declare import open_channel
from worker.broker.frames import consume_cut, depth, settlements
from worker.broker.past_headers import carries_past
from worker.delivery.ports import Early

log = logging.getLogger(__name__)

ACK_PERIOD_SECONDS = 0.005
"""Acks are batched for this long. One that cannot join a `multiple` ack waits for PATIENCE periods more
(AckLedger)."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """One queue to consume, with how many of its messages may be un-acked at once.

    `dead_letters`: it is known to dead-letter what is rejected; elsewhere a rejected message would be lost.
    """

    queue: str
    prefetch: int
    dead_letters: bool = False


class Consumption:
    """One channel with its consumers: the messages they took, and which of them the broker knows to be settled."""

    def __init__(
        self,
        channel: Channel,
        take: Callable[[TakenMessage], None],
        held: "Held",
        changed: Callable[[], None],
        redeliveries: Redeliveries[TakenMessage],
        early: Early | None = None,
    ) -> None:
        """`changed` is called when `healthy` may have become untrue, or `dear` true."""
        closing_of(channel).add_done_callback(lambda _: self._gone())
        on_consumer_cancelled(channel, changed)
        self._channel = channel
        self._changed = changed
        self._take = take
        self._held = held
        self._redeliveries = redeliveries
        self._early = early
        self._ledger = AckLedger()
        self._open: dict[int, TakenMessage] = {}
        self._unsent_acks: list[TakenMessage] = []
        self._tags: dict[str, str] = {}
        self._delivering: set[str] = set()  # queues that something came from
        self._dead_lettering: set[str] = set()
        self._nacks: list[tuple[int, bool]] = []  # (tag, requeue)
        self._flushing: asyncio.TimerHandle | None = None
        self._writing = Tasks()
        self._bytes = 0
        self._prefetches: dict[str, int] = {}  # by queue
        self.closed = False

    async def consume(self, consumers: Iterable[Consumer], share: float) -> None:
        """Start the consumers, each with this share of its prefetch (one message at the least)."""
        prefetches = {consumer: max(1, round(consumer.prefetch * share)) for consumer in consumers}
        self._ledger.expect(min(prefetches.values(), default=1))
        for consumer, prefetch in prefetches.items():
            # On a quorum queue prefetch is a consumer's, set by the last qos before its consume.
            await self._channel.basic_qos(prefetch_count=prefetch)
            self._prefetches[consumer.queue] = prefetch
            if consumer.dead_letters:
                self._dead_lettering.add(consumer.queue)
            take = partial(self._taken, consumer.queue)
            self._tags[consumer.queue] = await consume_cut(self._channel, consumer.queue, take)

    async def cancel(self) -> None:
        """Cancel the consumers; what was taken stays ours to settle."""
        for queue in tuple(self._tags):
            await self.cancel_one(queue)

    async def cancel_one(self, queue: str) -> None:
        """As `cancel`, for the consumer of this queue."""
        tag = self._tags.pop(queue)
        del self._prefetches[queue]
        await self._channel.basic_cancel(tag)
        forget_taker(self._channel, tag)

    @property
    def healthy(self) -> bool:
        """The channel is open, and the broker has cancelled none of its consumers."""
        return (
            not self.closed
            and not self._channel.is_closed
            and all(is_registered(self._channel, tag) for tag in self._tags.values())
        )

    @property
    def taken(self) -> int:
        """Messages that it has taken out of its queues: settled, or in hand while the channel lasts."""
        return self._ledger.settled if self.closed else self._ledger.kept

    def ack(self, message: TakenMessage) -> None:
        self._ledger.ack(message.tag)
        if self.closed:
            self._redeliveries.ended(message, settled=True)
            return
        self._settled(message)
        self._unsent_acks.append(message)
        if self._flushing is None:
            self._flush_soon()

    def hand_back(self, message: TakenMessage) -> None:
        self._nack(message, requeue=True)

    def reject(self, message: TakenMessage) -> None:
        self._nack(message, requeue=False)

    def dead_letters(self, queue: str) -> bool:
        """Whether what is rejected from this queue is kept."""
        return queue in self._dead_lettering

    def close(self) -> None:
        """The channel is gone: the broker has everything back that was not acked."""
        if self.closed:
            return
        self.closed = True
        if self._flushing is not None:
            self._flushing.cancel()  # the channel may live a moment longer: what is remembered must not be acked too
            self._flushing = None
        self._redeliveries.broken()
        self._held.bytes -= self._bytes
        self._bytes = 0
        for message in self._unsent_acks:
            self._redeliveries.ended(message, settled=True)
        for message in self._open.values():
            if message.begun:
                self._redeliveries.lost(message)
        self._unsent_acks.clear()
        self._open.clear()

    @property
    def dear(self) -> bool:
        """Whether what is open at the channel's front has made the acks of all others cost RabbitMQ more than a new
        channel would."""
        return self._ledger.dear

    @property
    def open(self) -> int:
        """Messages that it took and that are not settled."""
        return len(self._open)

    @property
    def full(self) -> bool:
        """The broker may send no more, and nothing that it has sent is on its way."""
        return self._ledger.unsettled >= sum(self._prefetches.values())

    @property
    def hanging(self) -> int:
        """Those of them that are older than acks wait for."""
        return self._ledger.hanging

    async def flushed(self) -> None:
        """Waits until the queues know everything settled so far. Call it last: what comes meanwhile stays un-acked."""
        while self._flushing is not None:  # a little more than PATIENCE times, for what waits behind an unfinished one
            self._flushing.cancel()
            self._flush()
        await self._writing.finished()
        if self.healthy:
            for queue in tuple(self._delivering):
                await wait_until_acks_are_stored(self._channel, queue)

    def _gone(self) -> None:
        self.close()
        self._changed()

    def _taken(
        self,
        queue: str,
        body: bytes,
        headers: Mapping[str, object],
        message_id: str | None,
        exchange: str,
        routing_key: str,
        tag: int,
        redelivered: bool,
    ) -> None:
        """Never raises (cutter.Take)."""
        if self.closed:
            return  # what was read already still comes; a message taken now would never be settled
        try:
            self._delivering.add(queue)
            if (
                self._early is not None
                and exchange
                and not (redelivered or carries_past(headers))
                and self._early.passes(body)
            ):
                self._passed(tag)
                return
            message = TakenMessage(self, queue, body, headers, message_id, exchange, routing_key, tag, redelivered)
            self._ledger.taken(tag)
            size = len(body)
            self._bytes += size
            self._held.bytes += size
            self._open[tag] = message
            if not (redelivered and self._known_again(message)):
                self._take(message)
        except Exception:  # a fault of ours must not end the connection: the message stays un-acked, and comes again
            log.exception("a message could not be taken")

    def _passed(self, tag: int) -> None:
        """Trade-off: not remembered as what is acked is. If the channel is lost before its ack is written, it comes
        again and is counted twice."""
        self._ledger.passed(tag)
        if self._flushing is None:
            self._flush_soon()

    def _known_again(self, message: TakenMessage) -> bool:
        before = self._redeliveries.under_way(message)
        if before is not None:
            before.goes_on_as(message)
            self._open[message.tag] = before
            return True
        if self._redeliveries.was_settled(message):
            message.ack()
            return True
        return False

    def _nack(self, message: TakenMessage, *, requeue: bool) -> None:
        if self.closed:
            self._redeliveries.ended(message, settled=False)
            return
        self._settled(message)
        self._nacks.append((message.tag, requeue))
        if self._flushing is None:
            self._flush_soon()

    def _settled(self, message: TakenMessage) -> None:
        del self._open[message.tag]
        size = len(message.body)
        self._bytes -= size
        self._held.bytes -= size

    def _flush_soon(self) -> None:
        self._flushing = asyncio.get_running_loop().call_later(ACK_PERIOD_SECONDS, self._flush)

    def _flush(self) -> None:
        """A call and no task, and one write: 5 us, however few there are to settle."""
        self._flushing = None
        if self._channel.is_closed:
            log.info("settled messages could not be acked: the channel is closed")  # they will be delivered again
            return
        self._send_settlements()
        if self._ledger.pending or self._nacks:
            self._flush_soon()

    def _send_settlements(self) -> None:
        # Acks first: one that is lost repeats a delivery, while what is not nacked comes back all the same.
        was_dear = self.dear
        acks, (nacks, self._nacks) = self._ledger.take(), (self._nacks, [])
        if self.dear and not was_dear:
            self._changed()
        waiting = self._ledger.waiting
        self._unsent_acks = [message for message in self._unsent_acks if message.tag in waiting] if waiting else []
        if acks or nacks:
            frames = settlements(self._channel, acks, nacks)
            if not write_now(self._channel, frames):
                self._writing.start(self._write(frames))
        for tag, requeue in nacks:
            (self._ledger.handed_back if requeue else self._ledger.rejected)(tag)

    async def _write(self, frames: bytes) -> None:
        """The plain way, on a connection without a cutter."""
        try:
            with as_broker_errors():
                await write(self._channel, frames)
        except BROKER_ERRORS as error:
            # The channel is gone; the broker redelivers what was not acked.
            log.info("settled messages could not be acked: %s", error)


async def consumer_missing(connection: AbstractConnection, queues: Iterable[str]) -> str | None:
    """The first queue that has no consumer at the broker, in words; or why the broker did not answer."""
    channel = await open_channel(connection)
    try:
        for queue in queues:
            if not (await depth(channel, queue)).consumers:
                return f"the queue {queue} has no consumer"
    except BROKER_ERRORS as error:
        return f"the broker could not count the queue's consumers: {error}"
    await channel.close()
    return None


class Held:
    """The bytes of all messages in hand, against WORKER_MAX_BYTES."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0

    @property
    def too_many(self) -> bool:
        return self.bytes > self.limit

    @property
    def few_again(self) -> bool:
        return self.bytes < self.limit / 2

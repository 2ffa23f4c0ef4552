"""Confirmed and routed publishes to our own queues (ports.Publisher)."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any, Self

from aio_pika.abc import AbstractConnection

from worker.basics.clock import Clock
from worker.basics.tasks import Tasks
from worker.broker.aiormq_internals import closing_of
from worker.broker.connection import BROKER_ERRORS, while_open
from worker.broker.declare import open_channel
from worker.broker.past_headers import PREFIX, Headers, headers_of
from worker.broker.publishing.alarm import watch_alarm
from worker.broker.publishing.outbox import Outbox, Publish, QueueMissing, QueueRejects
from worker.broker.publishing.rejecting_queues import RejectingQueues
from worker.broker.publishing.sizes import MessageSizes, refused_size
from worker.broker.topology import Topology
from worker.delivery.ports import PublishFailed, TooLarge
from worker.domain.past import Past

log = logging.getLogger(__name__)


class Publisher:
    """One channel with confirms on a connection of its own: a publisher that is blocked must not stop acks.

    RabbitMQ closes the channel of a message above its max_message_size. So the first publish of each size that it has
    not taken yet goes by a channel of its own, one at a time; trade-off: on a new connection a few large publishes
    wait for each other.

    A confirm has no deadline: behind a memory alarm it comes late but comes, and publishing again meanwhile would
    repeat the delivery.
    `on_blocked` is called as such an alarm begins and ends. `trace` gives each message further headers.
    """

    def __init__(
        self,
        topology: Topology,
        prepare: Callable[[AbstractConnection], Awaitable[None]],
        on_state: Callable[[bool], None],
        on_blocked: Callable[[bool], None] = lambda _: None,
        trace: Callable[[], Mapping[str, str]] | None = None,
        monotonic: Clock = time.monotonic,
    ) -> None:
        self._topology = topology
        self._prepare = prepare
        self._on_state = on_state
        self._on_blocked = on_blocked
        self._monotonic = monotonic
        self._trace = trace
        self._rejecting = RejectingQueues()
        self._unconfirmed: dict[Publish, float] = {}  # begun at, in that order
        self._connection: AbstractConnection | None = None
        self._outbox: Outbox | None = None
        self._closing: asyncio.Future[Any] | None = None
        self._numbers = count(1)
        self._unfit = asyncio.Event()
        self._sizes = MessageSizes()
        self._probing = Tasks()
        self._one_probe = asyncio.Lock()

    @classmethod
    def of_a_command(cls, topology: Topology) -> Self:
        """The worker declares the queues, a command uses them; and its connection is no metric."""
        return cls(topology, _nothing_to_prepare, lambda _: None)

    # What the supervisor calls.

    async def opened(self, connection: AbstractConnection) -> None:
        await self._prepare(connection)
        self._unfit.clear()
        self._sizes = MessageSizes()  # the limit may be another one now
        await self._open_channel(connection)
        self._connection = connection

    async def _open_channel(self, connection: AbstractConnection) -> None:
        channel = await open_channel(connection, confirms=True)
        self._closing = closing_of(channel)
        self._outbox = Outbox(channel, self._sizes.learn)

    async def broken(self) -> None:
        while await self._channel_too_small():
            assert self._connection is not None
            await self._open_channel(self._connection)

    async def _channel_too_small(self) -> bool:
        """Waits for the end of the channel or connection; True: a message that was too large closed the channel."""
        assert self._closing is not None
        closing = self._closing
        await self._unfit_for_use()
        return closing.done() and not closing.cancelled() and refused_size(closing.exception()) is not None

    async def _unfit_for_use(self) -> None:
        assert self._closing is not None
        assert self._connection is not None
        closing = asyncio.ensure_future(self._closing)
        unfit = asyncio.ensure_future(self._unfit.wait())
        alarm = asyncio.ensure_future(watch_alarm(self._connection, self._on_blocked))
        try:
            await asyncio.wait({closing, unfit, alarm}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watching in (closing, unfit, alarm):
                watching.cancel()

    def state(self, connected: bool) -> None:
        if not connected:
            if self._outbox is not None:
                self._outbox.close()
            self._outbox = self._closing = self._connection = None
            self._on_blocked(False)
        self._on_state(connected)

    @property
    def connection(self) -> AbstractConnection | None:
        """The current one, for other parts that publish; None while it is away."""
        return self._connection

    @property
    def oldest_unconfirmed(self) -> float:
        """Seconds since the beginning of the oldest publish that waits for its confirm; 0 without any."""
        begun = next(iter(self._unconfirmed.values()), None)
        return 0.0 if begun is None else self._monotonic() - begun

    # What the delivery calls.

    def retry(self, body: bytes, past: Past, delay: int) -> asyncio.Future[object]:
        return self.publish(self._topology.retry_queue(delay), body, headers_of(past))

    def dead_letter(self, body: bytes, past: Past, facts: Mapping[str, str]) -> asyncio.Future[object]:
        headers = headers_of(past) | {PREFIX + name: value for name, value in facts.items()}
        return self.publish(self._topology.dead, body, headers)

    def publish(self, queue: str, body: bytes, headers: Headers) -> asyncio.Future[object]:
        """Persistent, confirmed, routed. The future raises PublishFailed, also when the queue is full or missing."""
        if self._outbox is None:
            failed: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            failed.set_exception(PublishFailed("no connection to RabbitMQ"))
            return failed
        if self._trace is not None:
            headers = {**headers, **self._trace()}
        if len(body) > self._sizes.proven:
            publish = self._large(queue, body, headers)
        else:
            publish = self._outbox.publish(queue, body, headers, str(next(self._numbers)))
        self._unconfirmed[publish] = self._monotonic()
        publish.add_done_callback(self._ended)
        return publish

    def _large(self, queue: str, body: bytes, headers: Headers) -> Publish:
        publish = Publish(queue, body, headers, str(next(self._numbers)), asyncio.get_running_loop())
        excess = self._sizes.excess(len(body))
        if excess is not None:
            publish.set_exception(TooLarge(excess))
        else:
            self._probing.start(self._probe(publish))
        return publish

    async def _probe(self, publish: Publish) -> None:
        """Publishes a size that the broker has not taken yet."""
        async with self._one_probe:
            if publish.done():
                return
            size, outbox, connection = len(publish.body), self._outbox, self._connection
            excess = self._sizes.excess(size)
            if excess is not None:
                publish.set_exception(TooLarge(excess))
            elif outbox is None or connection is None:
                publish.set_exception(ConnectionError("the connection was lost"))
            elif size <= self._sizes.proven:
                outbox.send(publish)
            else:
                await self._alone(publish, connection)

    async def _alone(self, publish: Publish, connection: AbstractConnection) -> None:
        sizes = self._sizes
        try:
            channel = await while_open(connection, open_channel(connection, confirms=True))
            Outbox(channel, sizes.learn).send(publish)
            await asyncio.wait({publish})
            if channel.is_closed:
                return
            if not publish.cancelled():
                sizes.proven = max(sizes.proven, len(publish.body))
            await channel.close()
        except BROKER_ERRORS as error:
            publish.set_exception(error)

    def _ended(self, publish: Publish) -> None:
        del self._unconfirmed[publish]
        if publish.cancelled():
            return
        match publish.exception():
            case None:
                self._rejecting.accepted(publish.queue)
            case QueueMissing():
                self._unfit.set()  # a new connection declares it again
            case QueueRejects():
                self._rejected(publish.queue)

    def _rejected(self, queue: str) -> None:
        if self._rejecting.rejected(queue, self._monotonic()):
            log.warning("the queue %s goes on rejecting: trying it on a new connection", queue)
            self._unfit.set()


async def _nothing_to_prepare(_: AbstractConnection) -> None:
    """See of_a_command."""

"""The consumers of a worker: which queues, how many messages at once, and a watchdog that keeps it so."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aio_pika.abc import AbstractConnection

from worker.basics.clock import Clock
from worker.broker.connection import BROKER_ERRORS, as_broker_errors, in_words
from worker.broker.consuming.consumption import Consumer, Consumption, Held, consumer_missing
from worker.broker.consuming.inbox import Inbox
from worker.broker.consuming.redeliveries import Redeliveries
from worker.broker.consuming.relay import Relay
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.declare import open_channel
from worker.delivery.ports import Early

log = logging.getLogger(__name__)

Groups = tuple[tuple[Consumer, ...], ...]
"""Consumers by channel: one channel for each group."""

WATCH_SECONDS = 5.0
"""How often the watchdog looks after the consumers."""

PROBE_SECONDS = 30.0
"""How often it asks the broker as well: which queues there are, and whether they have consumers."""

PAUSED_WATCH_SECONDS = 0.1

ANSWER_SECONDS = 3.0
"""How long a broker that does not answer can hold up the shutdown, at its beginning and again at its end."""

LEAST_SHARE = 1e-6
"""Share of the prefetch that leaves one message for each consumer: a probe."""


class Consumers:
    """Consumes groups of queues and hands every message to `handle`, in order of arrival, never from aiormq's callback;
    but what `early` ends, which is asked there.

    `prepare` makes the topology exist on a new connection; `groups` names the consumers, asked on each
    connection and every 30 s (Evolution's own queues may appear later). `max_bytes` bounds un-acked bodies.
    """

    def __init__(
        self,
        handle: Callable[[TakenMessage], None],
        prepare: Callable[[AbstractConnection], Awaitable[None]],
        groups: Callable[[AbstractConnection], Awaitable[Groups]],
        max_bytes: int,
        on_state: Callable[[bool], None],
        also_healthy: Callable[[], bool] = lambda: True,
        monotonic: Clock = time.monotonic,
        early: Early | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._also_healthy = also_healthy
        self._early = early
        self._prepare = prepare
        self._groups = groups
        self._on_state = on_state
        self._held = Held(max_bytes)
        self._inbox = Inbox(handle)
        self._redeliveries = Redeliveries[TakenMessage](monotonic)
        self._connection: AbstractConnection | None = None
        self._relays: list[Relay] = []
        self._taken_before: Counter[int] = Counter()
        self._applied: tuple[float, Groups] = (0.0, ())
        self._share, self._share_since = 1.0, 0.0
        self._paused = self._slow = self._stopped = False
        self._woken = asyncio.Event()
        self._changing = asyncio.Lock()
        self._stopping: asyncio.Future[None] | None = None

    # What the supervisor calls.

    async def opened(self, connection: AbstractConnection) -> None:
        self._forget()
        await self._prepare(connection)
        self._connection = connection
        self._redeliveries.reconnected()
        await self._adjust(await self._groups(connection))

    async def broken(self) -> None:
        groups, probed = self._applied[1], self._monotonic()
        while self._healthy():
            await self._next_check()
            # By the clock: while it pauses it checks much more often, and a probe may ask for dozens of queues.
            if self._connection is not None and self._monotonic() >= probed + PROBE_SECONDS:
                if not await self._known_to_broker():
                    return
                groups, probed = await self._groups(self._connection), self._monotonic()
            await self._adjust(groups)
            await self._move_on()

    def state(self, connected: bool) -> None:
        if not connected:
            self._connection = None
            self._forget()
        self._on_state(connected)

    # What the application calls.

    @property
    def connection(self) -> AbstractConnection | None:
        """The connection while there is one."""
        return self._connection

    @property
    def held_bytes(self) -> int:
        """Bytes of un-acked message bodies."""
        return self._held.bytes

    @property
    def consuming(self) -> bool:
        """Whether messages are being taken: what readiness asks."""
        return self._connection is not None and not self._stopped

    @property
    def has_consumers(self) -> bool:
        """Whether the broker has consumers of this process now: none while more than `max_bytes` are un-acked."""
        return self.consuming and self._applied[0] > 0

    @property
    def first_queues(self) -> tuple[str, ...]:
        """The queues of first attempts (the first group) that are consumed now."""
        return tuple(consumer.queue for consumer in next(iter(self._applied[1]), ()))

    def taken(self, group: int) -> int:
        """Messages of a group's queues that this process has taken since its start, without those handed back."""
        now = self._relays[group].taken if group < len(self._relays) else 0
        return self._taken_before[group] + now

    def slow_down(self, slow: bool) -> None:
        """To a probe of one message at a time for each consumer, and back."""
        self._slow = slow
        self._woken.set()

    async def stop(self) -> None:
        """Take nothing more and hand back what has not started. What is under way can still be acked."""
        self._stopped = True
        self._inbox.hand_back()
        self._stopping = asyncio.ensure_future(self._cancel_consumers())
        # Not cancelled: that would close the channel, and what is under way could not be acked any more.
        await asyncio.wait({self._stopping}, timeout=ANSWER_SECONDS)

    async def flushed(self) -> None:
        """Waits until the acks of everything settled so far are written; at most 3 s, as the broker may be gone."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                with as_broker_errors():
                    for relay in self._relays:
                        await relay.flushed()
        except BROKER_ERRORS as error:
            log.warning("RabbitMQ did not answer to the last acks, it may deliver them again: %s", in_words(error))

    async def _cancel_consumers(self) -> None:
        try:
            with as_broker_errors():
                await self._adjust(self._applied[1])
        except BROKER_ERRORS as error:
            log.info("the broker was gone when consuming stopped: %s", in_words(error))

    # Taking.

    def _take(self, message: TakenMessage) -> None:
        if self._stopped or self._over_the_limit(message):
            message.hand_back()
        else:
            self._inbox.put(message)

    def _over_the_limit(self, message: TakenMessage) -> bool:
        if not self._held.too_many or self._held.bytes == len(message.body):
            return False  # one message larger than the limit is still taken, alone
        if not self._paused:
            log.warning("un-acked messages hold %d bytes: consuming pauses", self._held.bytes)
            self._paused = True
            # Fewer at a time afterwards: each message handed back has come one step closer to its delivery limit.
            self._share, self._share_since = max(self._share / 4, LEAST_SHARE), self._monotonic()
            self._inbox.hand_back()
            self._woken.set()
        return True

    def _forget(self) -> None:
        self._inbox.clear()
        for group, relay in enumerate(self._relays):
            relay.close()
            self._taken_before[group] += relay.taken
        self._relays = []
        self._applied = (0.0, ())

    # Consuming.

    async def _adjust(self, groups: Groups) -> None:
        """Make the consumers what they should be now: which queues, and which share of their prefetch."""
        if self._paused and self._held.few_again:
            self._paused = False
        async with self._changing:
            wanted = (self._wanted_share(), groups)
            if wanted == self._applied or self._connection is None:
                return
            for relay in self._relays:
                await relay.cancel()
            while len(self._relays) < len(groups):
                self._relays.append(Relay(await self._consumption(), self._monotonic))
            if wanted[0] > 0:
                for relay, group in zip(self._relays, groups, strict=False):
                    await relay.consume(group, wanted[0])
            self._applied = wanted

    async def _consumption(self) -> Consumption:
        assert self._connection is not None
        channel = await open_channel(self._connection)
        return Consumption(channel, self._take, self._held, self._woken.set, self._redeliveries, self._early)

    async def _move_on(self) -> None:
        """See Relay. A stop that comes while a group moves hands back what is taken meanwhile, as at any moment.

        Not while half of the bytes are taken: with what hangs on top of the prefetch, consuming would pause for all.
        """
        async with self._changing:
            for relay in self._relays:
                if relay.due and self._held.few_again and self._wanted_share() == self._applied[0]:
                    await relay.move(self._consumption)

    def _wanted_share(self) -> float:
        if self._stopped or self._paused:
            return 0.0
        return LEAST_SHARE if self._slow else self._share

    # Watching.

    async def _next_check(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSED_WATCH_SECONDS if self._paused else WATCH_SECONDS):
                await self._woken.wait()
        self._woken.clear()
        now = self._monotonic()
        if not self._paused and now >= self._share_since + WATCH_SECONDS:
            # Calm: back to the whole prefetch, a little at a time.
            self._share, self._share_since = min(1.0, self._share * 1.2), now

    def _healthy(self) -> bool:
        if not (self._also_healthy() and all(relay.healthy for relay in self._relays)):
            log.warning("a consumer or its channel is gone: connecting anew")
            return False
        return True

    async def _known_to_broker(self) -> bool:
        """Whether the broker sees a consumer on each queue that we believe to consume.

        It tells no more than how many there are: one that only the broker has lost is noticed when it was the
        queue's last. With more replicas theirs count as well, and the queue is served by them.
        """
        share, groups = self._applied
        if self._connection is None or share == 0:
            return True
        queues = [consumer.queue for group in groups for consumer in group]
        problem = await consumer_missing(self._connection, queues)
        if problem:
            log.warning("%s: connecting anew", problem)
        return problem is None

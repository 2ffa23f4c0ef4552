"""Ordered delivery on one connection: does what the core decides, and tells it what happened."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from aio_pika.abc import AbstractConnection

from worker.basics.clock import Clock
from worker.basics.tasks import Tasks
from worker.broker.connection import BROKER_ERRORS, as_broker_errors, in_words
from worker.broker.consuming.inbox import Inbox
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.declare import open_channel
from worker.broker.ordered.channel import OrderedChannel
from worker.broker.ordered.replicas import Hearing, Telling
from worker.broker.ordered.siding_channels import SidingChannels
from worker.broker.ordered.stamps import NotOurs, stored_in
from worker.domain.past import Past
from worker.ordered.deciding.core import Core
from worker.ordered.deciding.ports import Announcement, Item, Kind, NotNow, Stored
from worker.ordered.deciding.recent import Recent
from worker.ordered.deciding.role import State
from worker.ordered.deciding.rules import BEAT_SECONDS, Rules

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0

_IN_WORDS = {
    State.STANDBY: "standing by",
    State.WAITING: "taking over",
    State.ASKING: "asking the sidings",
    State.ACTIVE: "active",
    State.GONE: "giving way",
}


class Deliveries(Protocol):
    """What handles events. Each call gets the core that the message came by."""

    def took(self, core: Core, message: TakenMessage) -> None:
        """From the queue: an event of any instance. For each ordered webhook of it `core.took` is called, in the order
        of these calls; the message is acked when the last is settled, at once if there is none."""

    def stored(self, core: Core, message: TakenMessage, stored: Stored) -> Item:
        """From a siding."""

    def attempt(self, core: Core, item: Item) -> NotNow | None: ...
    def give_up(self, core: Core, item: Item) -> None: ...
    def settle(self, item: Item) -> None: ...
    def content(self, item: Item) -> tuple[bytes, Past]:
        """What is published to a siding: the event's bytes, and the delivery's past."""

    def first_seen(self, item: Item) -> float:
        """Unix time in seconds."""

    def forget(self, core: Core) -> None:
        """Its connection ends, and the core is over then. What a receiver has answered still counts, so that it is left
        out when it comes again; attempts are cut."""


class OrderedSession:
    """Acts of one connection (ordered.deciding.ports). `publishing`: the worker's connection for publishes; `blocked`:
    whether RabbitMQ takes none."""

    def __init__(
        self,
        connection: AbstractConnection,
        prefix: str,
        deliveries: Deliveries,
        publishing: Callable[[], AbstractConnection | None],
        blocked: Callable[[], bool],
        rules: Rules,
        new_epoch: Callable[[int], int],
        recent: Recent,
        *,
        declares: bool,
        monotonic: Clock = time.monotonic,
    ) -> None:
        self._connection = connection
        self._deliveries = deliveries
        self._blocked = blocked
        self._rules = rules
        self._monotonic = monotonic
        self.core = Core(self, rules, new_epoch, monotonic, recent)
        self.attempt = partial(deliveries.attempt, self.core)
        self.give_up = partial(deliveries.give_up, self.core)
        self.settle = deliveries.settle
        exchange, self._queue = f"{prefix}.config", f"{prefix}.ordered"
        self._hearing = Hearing(exchange, self.core.heard)
        self._telling = Telling(exchange, self._queue, publishing, self.core.tick_confirmed)
        self._inbox = Inbox(self._from_queue)
        self._main: OrderedChannel | None = None
        self._tasks = Tasks()
        self._ending = asyncio.Event()
        self._beaten = asyncio.Event()
        self._ended = False
        sidings = self._sidings = SidingChannels(
            connection,
            prefix,
            self.core,
            self._from_siding,
            deliveries.content,
            publishing,
            self._ending.set,
            self._do,
            declares=declares,
        )
        self.find_sidings, self.open_siding, self.close_siding = sidings.find, sidings.open, sidings.close
        self.reopen_siding, self.wait_for_acks, self.publish = sidings.reopen, sidings.wait_for_acks, sidings.publish

    # What the client calls.

    async def open(self) -> None:
        """Consumes; the announcements first, so that none is missed."""
        await self._hearing.listen(self._connection)
        channel = await open_channel(self._connection)
        self._main = OrderedChannel(channel, self._queue, self._inbox.put, self._ending.set)
        await self._main.consume(self._rules.prefetch)

    async def run(self) -> None:
        """Until it gives way, or the connection is lost."""
        state = self.core.role.state
        while not self._ending.is_set():
            blocked = self._blocked()
            self.core.beat(blocked=blocked)
            if self.core.role.state is not state:
                state = self.core.role.state
                log.info("ordered deliveries: this replica is %s", _IN_WORDS[state])
            self._beaten.set()
            self._beaten.clear()
            if blocked:
                self._tasks.start(self._ask())
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._ending.wait()
            except TimeoutError:
                continue

    async def drain(self, seconds: float) -> None:
        """Begins nothing, waits for what is under way, sends the acks, and closes the channels."""
        self.core.drain()
        try:
            async with asyncio.timeout(seconds):
                while not self.core.resting and not self._ending.is_set():
                    await self._beaten.wait()
            async with asyncio.timeout(DRAIN_SECONDS):
                with as_broker_errors():
                    await self._leave()
        except BROKER_ERRORS as error:
            log.warning("ordered deliveries end without their last acks: %s", in_words(error))
        self._ending.set()

    async def end(self) -> None:
        """The connection is lost or closes: nothing of it counts any more."""
        self._deliveries.forget(self.core)
        self._ended = self.core.over = True
        self._ending.set()
        self._inbox.clear()
        if self._main is not None:
            self._main.lost()
        for channel in self._sidings.opened():
            channel.lost()
        await self._tasks.end()
        await self._sidings.close_outboxes()

    def oldest_sided(self) -> tuple[float, int]:
        """Since when the oldest event at the head of a siding has waited (Unix seconds), and its number; (0, 0)
        without any."""
        heads = ((next(iter(siding.items)), siding.number) for siding in self.core.sidings.used() if siding.items)
        return min(((self._deliveries.first_seen(head), number) for head, number in heads), default=(0.0, 0))

    async def _leave(self) -> None:
        for channel in (*([self._main] if self._main else []), *self._sidings.opened()):
            await channel.acks_stored()
            await channel.close()

    # What comes.

    def _from_queue(self, message: TakenMessage) -> None:
        if self._ended:
            return
        if message.exchange == "" and not message.body:
            self.core.first_came()  # a tick
            message.ack()
        else:
            self._deliveries.took(self.core, message)

    def _from_siding(self, number: int, message: TakenMessage) -> None:
        if self._ended:
            return
        try:
            stored = stored_in(message.headers)
        except NotOurs as error:
            log.warning("siding %d: %s; left where it is", number, error)
            return
        item = self._deliveries.stored(self.core, message, stored) if stored.stamp.kind is Kind.EVENT else None
        self.core.came(number, stored.stamp, item, message)

    # Acts: the other ones are the sidings' and, as attributes, the deliveries'.

    def drop(self, number: int, token: object) -> None:  # noqa: ARG002 - its message knows its channel
        assert isinstance(token, TakenMessage)
        token.ack()

    def announce(self, announcement: Announcement) -> None:
        since, number = self.oldest_sided()
        self._tasks.start(self._telling.announce(replace(announcement, oldest=since, oldest_in=number)))

    def tick(self, number: int) -> None:
        self._tasks.start(self._telling.tick(number))

    def give_way(self) -> None:
        log.warning("ordered deliveries are another replica's now: connecting anew")
        self._ending.set()

    async def _ask(self) -> None:
        asked_at = self._monotonic()
        try:
            await self._hearing.ask()
        except BROKER_ERRORS as error:
            log.debug("RabbitMQ did not answer: %s", in_words(error))
        else:
            self.core.answered(asked_at)

    def _do(self, work: Awaitable[None]) -> None:
        async def done() -> None:
            try:
                with as_broker_errors():
                    await work
            except BROKER_ERRORS as error:
                log.info("ordered deliveries: %s", in_words(error))
                self._ending.set()

        self._tasks.start(done())

"""The sidings of one connection: a channel for each that is open, and what is published to them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from aio_pika.abc import AbstractConnection

from worker.broker.connection import BROKER_ERRORS, as_broker_errors, in_words
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.declare import declare_one, open_channel, queue_exists
from worker.broker.ordered.channel import OrderedChannel
from worker.broker.ordered.siding_outbox import SidingOutbox, SidingsChannel
from worker.broker.ordered.stamps import stamped
from worker.broker.past_headers import headers_of
from worker.broker.publishing.outbox import Outbox
from worker.broker.topology import siding_queue
from worker.domain.past import Past
from worker.ordered.deciding.core import Core
from worker.ordered.deciding.ports import Item, Stamp

log = logging.getLogger(__name__)

Content = Callable[[Item], tuple[bytes, Past]]
"""What is published to a siding: the event's bytes, and the delivery's past."""


class SidingChannels:
    """The part of ordered.deciding.ports.Acts that is about sidings.

    `came` gets what comes from one, by its number. `publishing`: the worker's connection for publishes. `ending` is
    called when a siding cannot be had: the connection is to end. `do` runs what may raise BROKER_ERRORS.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        prefix: str,
        core: Core,
        came: Callable[[int, TakenMessage], None],
        content: Content,
        publishing: Callable[[], AbstractConnection | None],
        ending: Callable[[], None],
        do: Callable[[Awaitable[None]], None],
        *,
        declares: bool,
    ) -> None:
        self._connection = connection
        self._prefix = prefix
        self._core = core
        self._came = came
        self._content = content
        self._publishing = SidingsChannel(publishing)
        self._ending = ending
        self._do = do
        self._declares = declares
        self._channels: dict[int, asyncio.Task[OrderedChannel]] = {}
        self._outboxes: dict[int, SidingOutbox] = {}
        self._turns: dict[int, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()

    def opened(self) -> list[OrderedChannel]:
        """Those that are open now."""
        done = (opening for opening in self._channels.values() if opening.done())
        return [each.result() for each in done if not each.cancelled() and each.exception() is None]

    async def close_outboxes(self) -> None:
        """At the connection's end."""
        for outbox in self._outboxes.values():
            await outbox.close()
        try:
            await self._publishing.close()
        except BROKER_ERRORS as error:
            log.debug("closing: %s", in_words(error))

    def find(self) -> None:
        self._do(self._find())

    async def _find(self) -> None:
        number = 0
        while await queue_exists(self._connection, siding_queue(self._prefix, number + 1).name):
            number += 1
        self._core.found(number)

    def open(self, number: int) -> None:
        before = self._turns.get(number)
        prefetch = self._core.sidings[number].prefetch
        opening = asyncio.get_running_loop().create_task(self._open(number, prefetch, before))
        self._channels[number] = opening
        opening.add_done_callback(self._opening_ended)

    async def _open(self, number: int, prefetch: int, before: asyncio.Task[None] | None) -> OrderedChannel:
        if before is not None:
            await asyncio.wait({before})
        # One after the other: aiormq loses a connection on which many channels are opened and closed at once.
        async with self._one_at_a_time:
            return await self._consumed(number, prefetch)

    async def _consumed(self, number: int, prefetch: int) -> OrderedChannel:
        queue = siding_queue(self._prefix, number)
        with as_broker_errors():
            await declare_one(self._connection, queue, declares=self._declares)
            take = partial(self._came, number)
            channel = OrderedChannel(await open_channel(self._connection), queue.name, take, self._ending)
            await channel.consume(prefetch)
        return channel

    def _opening_ended(self, opening: asyncio.Task[OrderedChannel]) -> None:
        if not opening.cancelled() and opening.exception() is not None:
            log.warning("a siding could not be opened: %s", in_words(opening.exception()))
            self._ending()

    def close(self, number: int) -> None:
        self._turns[number] = asyncio.get_running_loop().create_task(self._closed(self._channels.pop(number)))

    async def _closed(self, opening: asyncio.Task[OrderedChannel]) -> None:
        try:
            await (await opening).close()
        except BROKER_ERRORS as error:
            log.info("a siding's channel was closed already: %s", in_words(error))
            self._ending()

    def reopen(self, number: int) -> None:
        self.close(number)
        self.open(number)

    def wait_for_acks(self, number: int) -> None:
        self._do(self._wait_for_acks(number, self._channels[number]))

    async def _wait_for_acks(self, number: int, opening: asyncio.Task[OrderedChannel]) -> None:
        await (await opening).acks_stored()
        self._core.acks_stored(number)

    def publish(self, number: int, stamp: Stamp, item: Item | None) -> None:
        outbox = self._outboxes.get(number)
        if outbox is None:
            confirmed, failed = partial(self._core.confirmed, number), partial(self._core.publish_failed, number)
            name = siding_queue(self._prefix, number).name
            opened = partial(self._can_be_published_to, number)
            outbox = self._outboxes[number] = SidingOutbox(name, self._publishing, opened, confirmed, failed)
        if item is None:
            outbox.publish(stamp.serial, b"", stamped(stamp, None))
        else:
            body, past = self._content(item)
            outbox.publish(stamp.serial, body, headers_of(past) | stamped(stamp, item))

    async def _can_be_published_to(self, number: int) -> Outbox:
        if number in self._channels:
            await asyncio.wait({self._channels[number]})  # it declares the queue
        return await self._publishing.opened()

"""The exchanges of single instances (RABBITMQ_INSTANCE_EXCHANGES), bound to our queue of events."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelClosed

from worker.basics.clock import Clock
from worker.broker.connection import BROKER_ERRORS, as_broker_errors
from worker.broker.declare import open_channel
from worker.broker.frames import bind_queue, declare_exchange
from worker.broker.topology import Topology
from worker.webhooks.store import StoreUnavailable

log = logging.getLogger(__name__)

CHECK_SECONDS = 2.0
"""How often new instances are looked for."""

RETRY_SECONDS = 30.0
"""Until the exchange of an instance is tried again that could not be bound."""


class InstanceExchanges:
    """RABBITMQ_INSTANCE_EXCHANGES: binds the exchange of each instance, which bears the instance's name.

    Declared as Evolution does, whoever is first; with `declares=False` bound as soon as Evolution has made it.
    `instances` names those that exist and may raise StoreUnavailable; one that was named once stays known. `archive`:
    the stream that is to hear them too, as soon as it is there.
    """

    def __init__(
        self,
        topology: Topology,
        instances: Callable[[], Awaitable[Iterable[str]]],
        monotonic: Clock,
        *,
        declares: bool,
        archive: str | None = None,
    ) -> None:
        self._topology = topology
        self._archive = archive
        self._instances = instances
        self._monotonic = monotonic
        self._passive = not declares
        self._known: set[str] = set()
        self._bound: set[str] = set()
        self._refused: dict[str, float] = {}
        self._connection: AbstractConnection | None = None

    async def watch(self, connection: Callable[[], AbstractConnection | None]) -> None:
        """Looks for new instances every 2 s until cancelled; `connection` gives the one that consumes, if any."""
        while True:
            current = connection()
            if current is not None:
                try:
                    self._known.update(await self._instances())
                    with as_broker_errors():
                        await self.bind(current)
                except (*BROKER_ERRORS, StoreUnavailable) as error:
                    log.warning("exchanges of new instances could not be bound yet: %s", error)
            await asyncio.sleep(CHECK_SECONDS)

    async def bind(self, connection: AbstractConnection) -> None:
        """Bind what is known and not bound yet on this connection; what the broker refused, again after 30 s."""
        monotonic = self._monotonic()
        if connection is not self._connection:
            self._connection, self._bound = connection, set()
            self._refused = dict.fromkeys(self._refused, monotonic - RETRY_SECONDS)
        new = [name for name in self._known if self._due(name, monotonic)]
        for name in new:
            error = await self._bind_one(connection, name)
            if error is None:
                self._bound.add(name)
                self._refused.pop(name, None)
            else:
                # One instance's trouble is not the others'; warned of once.
                level = logging.DEBUG if name in self._refused else logging.WARNING
                log.log(level, "the exchange of instance %r is not bound: %s", name, error)
                self._refused[name] = monotonic
        if new:
            log.debug("%d exchanges of instances are bound", len(self._bound))

    async def _bind_one(self, connection: AbstractConnection, name: str) -> str | None:
        """The problem, or None. On a channel of its own: a refusal closes it."""
        channel = await open_channel(connection)
        try:
            await declare_exchange(channel, name, passive=self._passive)
            if self._topology.ordered is not None:
                await bind_queue(channel, self._topology.ordered.name, name)  # first: see ConsumptionPlan.prepare
            await bind_queue(channel, self._topology.events, name)
            await channel.close()
        except ChannelClosed as error:
            return str(error)
        if self._archive is not None:
            await self._bind_archive(connection, self._archive, name)
        return None

    async def _bind_archive(self, connection: AbstractConnection, archive: str, name: str) -> None:
        """Without it the instance's events are delivered all the same; its keeper binds it again."""
        channel = await open_channel(connection)
        try:
            await bind_queue(channel, archive, name)
            await channel.close()
        except ChannelClosed as error:
            log.debug("the exchange of instance %r is not archived: %s", name, error)

    def _due(self, name: str, monotonic: float) -> bool:
        again = self._refused.get(name, -RETRY_SECONDS) + RETRY_SECONDS
        return name not in self._bound and monotonic >= again and _can_be_exchange(name)


def _can_be_exchange(name: str) -> bool:
    """AMQP: at most 255 bytes, and `amq.` is the broker's own."""
    try:
        return 0 < len(name.encode()) <= 255 and not name.startswith("amq.")
    except UnicodeEncodeError:  # an unpaired surrogate: JSON can carry it, a protocol cannot
        return False

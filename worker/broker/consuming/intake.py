"""What is consumed: our own queue, or Evolution's; and the exchanges of single instances."""

import logging
from collections.abc import Callable, Iterable, Sequence

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelClosed

from worker.broker.consuming.consumption import Consumer
from worker.broker.consuming.source import Groups
from worker.broker.declare import declare, open_channel, queue_exists, verify
from worker.broker.frames import bind_queue, declare_exchange
from worker.broker.topology import Topology
from worker.domain.names import KNOWN, queue_spellings

log = logging.getLogger(__name__)

RETRIES_PART = 5
"""One in five places is for retries: they never starve first attempts, nor the other way round."""

MOST_PREFETCH = 2000
"""The most that RabbitMQ gives a consumer of a quorum queue."""


RETRY_SECONDS = 30.0
"""Until the exchange of an instance is tried again that could not be bound."""


class Intake:
    """Makes the topology exist and names the consumers; their prefetches sum to `concurrency`."""

    def __init__(self, topology: Topology, concurrency: int, *, declares: bool) -> None:
        self._topology = topology
        self._declares = declares
        self._retries = max(1, concurrency // RETRIES_PART)
        self._first = max(1, concurrency - self._retries)

    async def prepare(self, connection: AbstractConnection) -> None:
        """Everything before the first event. Raises TopologyMismatch."""
        make_sure = declare if self._declares else verify
        await make_sure(connection, self._topology, bind=True)

    async def groups(self, _: AbstractConnection) -> Groups:
        return (self._share((self._topology.events,)), self._of_retries())

    def _of_retries(self) -> tuple[Consumer, ...]:
        return (Consumer(self._topology.retries, min(self._retries, MOST_PREFETCH)),)

    def _share(self, queues: Sequence[str]) -> tuple[Consumer, ...]:
        each = min(max(1, self._first // max(1, len(queues))), MOST_PREFETCH)
        return tuple(Consumer(queue, each) for queue in queues)


class EvolutionQueues(Intake):
    """RABBITMQ_SOURCE=queues: Evolution's own global queues, never declared by us, as far as they exist."""

    def __init__(self, topology: Topology, concurrency: int, *, declares: bool, prefix: str) -> None:
        super().__init__(topology, concurrency, declares=declares)
        self._names = evolution_queues(prefix)

    async def prepare(self, connection: AbstractConnection) -> None:
        make_sure = declare if self._declares else verify
        await make_sure(connection, self._topology, bind=False)

    async def groups(self, connection: AbstractConnection) -> Groups:
        present = await self.present(connection)
        if not present:
            log.warning("none of Evolution's queues exists yet: is RABBITMQ_GLOBAL_ENABLED set there?")
        # Our own queue too: redriven letters and instances' exchanges lead there.
        return (self._share([self._topology.events, *present]), self._of_retries())

    async def present(self, connection: AbstractConnection) -> list[str]:
        """Those that exist. Each probe has a channel of its own: asking for a missing queue closes it."""
        return [name for name in self._names if await queue_exists(connection, name)]


def evolution_queues(prefix: str) -> list[str]:
    """Every name that Evolution's global queues have had, known events in all spellings.

    Without a prefix, 2.x's init also makes `undefined.<event>` queues, which it never feeds: left out.
    """
    spellings = sorted({spelling for kind in KNOWN for spelling in queue_spellings(kind)})
    return [f"{prefix}.{name}" if prefix else name for name in spellings]


class InstanceExchanges:
    """RABBITMQ_INSTANCE_EXCHANGES: binds the exchange of each instance, which bears the instance's name.

    Declared as Evolution does, whoever is first; with `declares=False` bound as soon as Evolution has made it.
    """

    def __init__(self, topology: Topology, known: Callable[[], Iterable[str]], *, declares: bool) -> None:
        self._topology = topology
        self._known = known
        self._passive = not declares
        self._bound: set[str] = set()
        self._refused: dict[str, float] = {}
        self._connection: AbstractConnection | None = None

    async def bind(self, connection: AbstractConnection, monotonic: float) -> None:
        """Bind what is known and not bound yet on this connection; what was refused, again after 30 s."""
        if connection is not self._connection:
            self._connection, self._bound = connection, set()
            self._refused = dict.fromkeys(self._refused, monotonic - RETRY_SECONDS)
        new = [name for name in self._known() if self._due(name, monotonic)]
        for name in new:
            error = await self._bind_one(connection, name)
            if error is None:
                self._bound.add(name)
                self._refused.pop(name, None)
            else:
                # One instance's trouble is not the others'; told once.
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
            await bind_queue(channel, self._topology.events, name)
        except ChannelClosed as error:
            return str(error)
        await channel.close()
        return None

    def _due(self, name: str, monotonic: float) -> bool:
        again = self._refused.get(name, -RETRY_SECONDS) + RETRY_SECONDS
        return name not in self._bound and monotonic >= again and _can_be_exchange(name)


def _can_be_exchange(name: str) -> bool:
    """AMQP: at most 255 bytes, and `amq.` is the broker's own."""
    try:
        return 0 < len(name.encode()) <= 255 and not name.startswith("amq.")
    except UnicodeEncodeError:  # an unpaired surrogate: JSON can carry it, a protocol cannot
        return False

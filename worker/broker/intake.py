"""What is consumed: our own queue, or Evolution's; and the exchanges of single instances."""

import logging
from collections.abc import Callable, Iterable, Sequence

from aio_pika.abc import AbstractConnection

from worker.broker.consumption import Consumer
from worker.broker.declare import declare, open_channel, queue_exists, verify
from worker.broker.source import Groups
from worker.broker.topology import Topology
from worker.domain.names import KNOWN, queue_spellings

log = logging.getLogger(__name__)

RETRIES_PART = 5
"""One in five places is for retries: they never starve first attempts, nor the other way round."""

MOST_PREFETCH = 2000
"""The most that RabbitMQ gives a consumer of a quorum queue."""


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
        """Each probe has a channel of its own: asking for a missing queue closes it."""
        present = [name for name in self._names if await queue_exists(connection, name)]
        if not present:
            log.warning("none of Evolution's queues exists yet: is RABBITMQ_GLOBAL_ENABLED set there?")
        return (self._share(present), self._of_retries())


def evolution_queues(prefix: str) -> list[str]:
    """Every name that Evolution's global queues have had, known events in all spellings.

    Without a prefix, 2.x's init also makes `undefined.<event>` queues, which it never feeds: left out.
    """
    spellings = sorted({spelling for kind in KNOWN for spelling in queue_spellings(kind)})
    return [f"{prefix}.{name}" if prefix else name for name in spellings]


class InstanceExchanges:
    """RABBITMQ_INSTANCE_EXCHANGES: binds the exchange of each instance, which bears the instance's name."""

    def __init__(self, topology: Topology, known: Callable[[], Iterable[str]]) -> None:
        self._topology = topology
        self._known = known
        self._bound: set[str] = set()
        self._connection: AbstractConnection | None = None

    async def bind(self, connection: AbstractConnection) -> None:
        """Bind what is known and not bound yet on this connection; declared as Evolution does, whoever is first."""
        if connection is not self._connection:
            self._connection, self._bound = connection, set()
        new = [name for name in self._known() if name not in self._bound and _can_be_exchange(name)]
        if not new:
            return
        channel = await open_channel(connection)
        for name in new:
            await channel.exchange_declare(name, exchange_type="topic", durable=True)
            await channel.queue_bind(self._topology.events, name, routing_key="#")
            self._bound.add(name)
        await channel.close()
        log.info("bound the exchanges of %d instances", len(new))


def _can_be_exchange(name: str) -> bool:
    """AMQP: at most 255 bytes, and `amq.` is the broker's own."""
    return 0 < len(name.encode()) <= 255 and not name.startswith("amq.")

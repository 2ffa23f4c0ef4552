"""RABBITMQ_SOURCE: which queues a worker consumes, and how it shares its prefetch among them."""

import logging
from collections.abc import Collection, Sequence
from typing import ClassVar

from aio_pika.abc import AbstractConnection

from worker.broker.consuming.consumers import Groups
from worker.broker.consuming.consumption import Consumer
from worker.broker.declare import declare, declare_ordered, note_bound, queue_exists, verify
from worker.broker.topology import Topology
from worker.domain.evolution_go import KINDS, queue_of
from worker.domain.names import KNOWN, queue_spellings

log = logging.getLogger(__name__)

RETRIES_PART = 5
"""A fifth of the prefetch is for retries: they never starve first attempts, nor the other way round."""

MOST_PREFETCH = 2000
"""The most that RabbitMQ gives a consumer of a quorum queue."""


class ConsumptionPlan:
    """RABBITMQ_SOURCE=exchange: a queue of our own, bound to Evolution's exchange.

    Makes the topology exist and names the consumers; their prefetches sum to `concurrency`.
    """

    binds_exchange: ClassVar[bool] = True
    """Whether our queue of events is bound to Evolution's exchange; else Evolution's own queues are read."""

    def __init__(self, topology: Topology, concurrency: int, *, declares: bool) -> None:
        self._topology = topology
        self._declares = declares
        self._retries = max(1, concurrency // RETRIES_PART)
        self._first = max(1, concurrency - self._retries)

    async def prepare(self, connection: AbstractConnection) -> None:
        """Everything before the first event. Raises TopologyMismatch."""
        make_sure = declare if self._declares else verify
        if self._topology.ordered is None:
            await make_sure(connection, self._topology, bind=self.binds_exchange)
            return
        fresh = self._declares and not await queue_exists(connection, self._topology.events)
        # First, so that it gets every event that the other queue gets.
        await declare_ordered(connection, self._topology, declares=self._declares)
        await make_sure(connection, self._topology, bind=self.binds_exchange)
        if fresh:
            await note_bound(connection, self._topology)

    @property
    def instances(self) -> frozenset[str]:
        """Ids of Evolution Go's instances whose own queues are read."""
        return frozenset()

    @property
    def evolution_prefix(self) -> str | None:
        """What stands before the names of Evolution's queues ("" for nothing); None: they are not read."""
        return None

    async def present(self, _: AbstractConnection) -> Sequence[str]:
        """Evolution's queues that this plan reads and that exist. Raises what a broken connection raises."""
        return ()

    async def groups(self, _: AbstractConnection) -> Groups:
        """Consumers by channel: first attempts, then retries. Raises what a broken connection raises."""
        return (self._share((self._topology.events,)), self._of_retries())

    def _of_retries(self) -> tuple[Consumer, ...]:
        return (Consumer(self._topology.retries, min(self._retries, MOST_PREFETCH), self._declares),)

    def _share(self, queues: Sequence[str]) -> tuple[Consumer, ...]:
        each = min(max(1, self._first // max(1, len(queues))), MOST_PREFETCH)
        # Arguments of queues that others declare cannot be seen: those might drop what is rejected.
        ours = self._topology.events if self._declares else None
        return tuple(Consumer(queue, each, dead_letters=queue == ours) for queue in queues)


class EvolutionQueues(ConsumptionPlan):
    """RABBITMQ_SOURCE=queues: Evolution's own global queues, never declared by us, as far as they exist.

    Without a `prefix` those of Evolution Go too, which knows none. Trade-off: with one they are not read, as their
    names (`message`, `contact`) could be another application's, and the operator has said how Evolution's begin.
    `instances`: ids of Evolution Go's instances whose own queues are read as well, whatever the prefix. AMQP cannot
    list queues, so that the operator must name them.
    """

    binds_exchange = False

    def __init__(
        self,
        topology: Topology,
        concurrency: int,
        *,
        declares: bool,
        prefix: str,
        instances: Collection[str] = (),
    ) -> None:
        super().__init__(topology, concurrency, declares=declares)
        self._prefix = prefix
        self._instances = frozenset(map(str.lower, instances))
        single = [name for instance in sorted(self._instances) for name in go_queues(instance)]
        self._names = [*evolution_queues(prefix), *(() if prefix else go_queues()), *single]

    @property
    def instances(self) -> frozenset[str]:
        return self._instances

    @property
    def evolution_prefix(self) -> str:
        return self._prefix

    async def groups(self, connection: AbstractConnection) -> Groups:
        present = await self.present(connection)
        if not present:
            setting = "RABBITMQ_GLOBAL_ENABLED (Evolution Go: AMQP_GLOBAL_ENABLED)"
            log.warning("none of Evolution's queues exists yet: is %s set there?", setting)
        # Our own queue too: redriven letters and instances' exchanges lead there.
        return (self._share([self._topology.events, *present]), self._of_retries())

    async def present(self, connection: AbstractConnection) -> list[str]:
        """As ConsumptionPlan.present. Each probe has a channel of its own: asking for a missing queue closes it."""
        return [name for name in self._names if await queue_exists(connection, name)]


def evolution_queues(prefix: str) -> list[str]:
    """Every name that Evolution's global queues have had, known events in all spellings.

    Without a prefix, 2.x's init also makes `undefined.<event>` queues, which it never feeds: left out.
    """
    spellings = sorted({spelling for kind in KNOWN for spelling in queue_spellings(kind)})
    return [f"{prefix}.{name}" if prefix else name for name in spellings]


def go_queues(instance: str = "") -> list[str]:
    """Evolution Go's queues, the global ones or those of an instance by its id: none can be bound.

    It publishes into them by way of the default exchange.
    """
    return [f"{instance}.{name}" if instance else name for name in sorted(map(queue_of, KINDS))]

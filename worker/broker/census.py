"""Asks the broker about our queues: how much waits in each, for how long, and how many replicas consume."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from aio_pika.abc import AbstractConnection

from worker.basics.clock import Clock
from worker.broker.connection import BROKER_ERRORS, as_broker_errors, in_words
from worker.broker.declare import open_channel
from worker.broker.frames import depth
from worker.broker.topology import Topology

log = logging.getLogger(__name__)

PERIOD_SECONDS = 5.0
"""How often the broker is asked."""

FIRST_PERIOD_SECONDS = 0.5
"""The same while there is no connection yet."""

REMEMBERED_SECONDS = 300.0
"""Longer than a replica usually pauses. Trade-off: after a scale-down rates stay below their limits for so long."""

MOST_REMEMBERED = 1000
"""Counts that BacklogAge keeps. Trade-off: beyond that every second one goes, and some ages are one count short."""


@dataclass(frozen=True, slots=True)
class Depths:
    """`messages` by queue name: ready ones, without those that some replica has in hand.

    `events` are those of all queues of first attempts together, Evolution's own among them. `replicas` counts the
    consumers of `retries`: each worker has exactly one there, whatever its source.
    """

    messages: Mapping[str, int]
    events: int
    replicas: int


async def ask_depths(connection: AbstractConnection, topology: Topology, first: Iterable[str]) -> Depths:
    """Ask for all of our queues and for those of `first` attempts. Raises what a broken connection, or a missing
    queue, raises."""
    channel = await open_channel(connection)
    ours = [queue.name for queue in topology.queues]
    found = {name: await depth(channel, name) for name in dict.fromkeys([*ours, *first])}
    await channel.close()
    return Depths(
        messages={name: found[name].ready for name in ours},
        events=sum(found[name].ready for name in {topology.events, *first}),
        replicas=found[topology.retries].consumers,
    )


class Consuming(Protocol):
    """What the census needs of the worker's consumers."""

    @property
    def connection(self) -> AbstractConnection | None:
        """The connection while there is one."""

    @property
    def first_queues(self) -> tuple[str, ...]:
        """The queues of first attempts that are consumed now."""

    def taken(self, group: int) -> int:
        """Messages that this process has taken from first attempts (0) or retries (1), without those handed back."""


class Census:
    """Asks the broker every five seconds; `on_count` gets the depths, and how many replicas share a rate limit."""

    def __init__(
        self, topology: Topology, consumers: Consuming, monotonic: Clock, on_count: Callable[[Depths, int], None]
    ) -> None:
        self._topology = topology
        self._consumers = consumers
        self._on_count = on_count
        self._events, self._retries = BacklogAge(monotonic), BacklogAge(monotonic)
        self._replicas = Replicas(monotonic)

    @property
    def ages(self) -> Mapping[str, Callable[[], float]]:
        """By queue (`events`, `retries`): how many seconds its oldest ready message has waited."""
        return {"events": self._events.seconds, "retries": self._retries.seconds}

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            connection = self._consumers.connection
            if connection is not None:
                try:
                    with as_broker_errors():
                        depths = await ask_depths(connection, self._topology, self._consumers.first_queues)
                except BROKER_ERRORS as error:
                    log.info("the broker could not say how much waits: %s", in_words(error))
                else:
                    self._counted(depths)
            await asyncio.sleep(PERIOD_SECONDS if connection else FIRST_PERIOD_SECONDS)

    def _counted(self, depths: Depths) -> None:
        ready = (depths.events, depths.messages[self._topology.retries])
        for group, age in enumerate((self._events, self._retries)):
            age.counted(self._consumers.taken(group), ready[group], depths.replicas)
        self._on_count(depths, self._replicas.counted(depths.replicas))


class BacklogAge:
    """Estimates how long a queue's oldest ready message has waited, in seconds; no I/O.

    `counted` is called with each count of the queue. What was taken and what is ready make up what has arrived;
    messages leave in order, so the oldest one that is ready arrived when that sum first exceeded what has been taken
    by now. It counts from this process's first count at the earliest, and takes other replicas for as fast as this one.
    """

    def __init__(self, monotonic: Clock) -> None:
        self._monotonic = monotonic
        self._arrivals: deque[tuple[float, int]] = deque()  # (time, arrived by then), both rising
        self._taken = 0  # by all replicas
        self._ours = 0
        self._ready = 0

    def counted(self, ours: int, ready: int, replicas: int) -> None:
        """`ours`: messages that this process has taken and not handed back, since its start."""
        # What is no longer ready was taken by somebody, whatever this replica's share was.
        self._taken += max((ours - self._ours) * max(1, replicas), self._ready - ready)
        self._ours, self._ready = ours, ready
        while self._arrivals and self._arrivals[0][1] <= self._taken:
            self._arrivals.popleft()
        arrived = self._taken + ready
        if ready and (not self._arrivals or self._arrivals[-1][1] < arrived):
            self._arrivals.append((self._monotonic(), arrived))
        if len(self._arrivals) > MOST_REMEMBERED:
            self._arrivals = deque(islice(self._arrivals, 0, None, 2))

    def seconds(self) -> float:
        """0 when nothing was ready at the last count. Without further counts (no connection) it goes on growing."""
        return self._monotonic() - self._arrivals[0][0] if self._arrivals else 0.0


class Replicas:
    """Counts the replicas that share a rate limit: the highest of five minutes; no I/O, `monotonic` in seconds.

    A replica that pauses for WORKER_MAX_BYTES has no consumer for a while and delivers on: the highest count of the
    last minutes holds, so that the others do not take its share meanwhile and pass the limit together with it.
    """

    def __init__(self, monotonic: Clock) -> None:
        self._monotonic = monotonic
        self._counts: deque[tuple[float, int]] = deque()

    def counted(self, consumers: int) -> int:
        """How many there are to share with, oneself included: at least 1."""
        now = self._monotonic()
        while self._counts and self._counts[0][0] < now - REMEMBERED_SECONDS:
            self._counts.popleft()
        self._counts.append((now, consumers))
        return max(1, *(count for _, count in self._counts))

"""A queueing model of ordered delivery by one active replica, and by several that share the instances among them.

An event comes to a queue, waits for a core, is taken, and stands in the line of its chat. The first in line is posted;
while its receiver answers, the core serves others. Cores are FIFO. The model knows no broker: a queue costs nothing.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import accumulate, count
from zlib import crc32

ROUTER = "router"
PREFETCH = 1000
"""Events that an active replica has taken and not ended. The model has no sidings: a chat that is too hot fills it."""

WINDOW = 200
"""Events that a router has published and not acked: after its death they are published again."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a core for each step of an event; `answer` is the receiver's time, and no core's.

    `skip`: an event that no ordered webhook wants is taken and acked. `route`: it is taken, its instance read,
    published to a partition with a confirm, and acked.
    """

    take: float = 35e-6
    post: float = 75e-6
    settle: float = 40e-6
    skip: float = 50e-6
    route: float = 120e-6
    answer: float = 0.02

    @property
    def deliver(self) -> float:
        return self.take + self.post + self.settle


@dataclass(frozen=True, slots=True)
class Traffic:
    """`rate` events a second of `instances` with `chats` each. The n-th instance has a share of 1 / n ** `skew`.

    `wanted`: the share of events that an ordered webhook wants.
    """

    rate: float
    instances: int = 1000
    chats: int = 100
    skew: float = 0.0
    wanted: float = 1.0

    def shares(self) -> list[float]:
        weights = [1 / (number + 1) ** self.skew for number in range(self.instances)]
        whole = sum(weights)
        return [weight / whole for weight in weights]


@dataclass(frozen=True, slots=True)
class Design:
    """So many `partitions`, each served by a core of its own, behind a router with a core of its own or without one."""

    partitions: int = 1
    routed: bool = False

    def partition(self, instance: int) -> int:
        return crc32(b"instance-%d" % instance) % self.partitions


@dataclass(frozen=True, slots=True)
class Outage:
    """The process of a core dies at `at`; another one begins `seconds` later with what had not ended."""

    core: int | str
    at: float
    seconds: float = 5.0


@dataclass(eq=False, slots=True)
class Event:
    """`before`: the one before it of the same chat."""

    at: float
    instance: int
    key: tuple[int, int]
    wanted: bool
    before: Event | None = None
    posted_at: float | None = None
    posts: int = 0
    ended: bool = False


@dataclass(slots=True)
class Run:
    """What a simulation came to. `busy` is the share of the time that each core was at work.

    `inverted` counts the events that were first posted before the one before them in their chat had ended.
    """

    seconds: float
    events: list[Event]
    busy: dict[int | str, float]
    inverted: int = 0

    @property
    def ended(self) -> int:
        return sum(event.ended for event in self.events)

    @property
    def repeats(self) -> int:
        return sum(max(0, event.posts - 1) for event in self.events)

    def latencies(self, since: float = 0.0) -> list[float]:
        """Seconds from an event to its first POST, ascending, of those that came after `since` and were posted."""
        late = (
            event.posted_at - event.at for event in self.events if event.posted_at is not None and event.at >= since
        )
        return sorted(late)


def bounds(design: Design, traffic: Traffic, costs: Costs) -> dict[str, float]:
    """The utilization law: by whom so many events a second, of all that come, are bounded at most."""
    shares, wanted = traffic.shares(), traffic.wanted
    loads = [0.0] * design.partitions
    for instance, share in enumerate(shares):
        loads[design.partition(instance)] += share
    each = wanted * costs.deliver + (0.0 if design.routed else (1 - wanted) * costs.skip)
    chat = max(shares) / traffic.chats * wanted
    found = {
        "the hottest chat": 1 / (chat * (costs.post + costs.answer + costs.settle)),
        "the hottest instance": 1 / (max(shares) * each),
        "the fullest partition": 1 / (max(loads) * each),
    }
    if design.routed:
        found["the router"] = 1 / (wanted * costs.route + (1 - wanted) * costs.skip)
    return found


class _Core:
    """First come, first served."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self.worked = 0.0
        self.life = 0

    def run(self, now: float, seconds: float) -> float:
        """When it has done that."""
        self.free_at = max(now, self.free_at) + seconds
        self.worked += seconds
        return self.free_at

    def die(self, now: float, seconds: float) -> None:
        self.free_at = now + seconds
        self.life += 1


@dataclass(slots=True)
class _Partition:
    """`held`: what has come and not ended, in that order; the last of it, `queued`, is not taken yet."""

    core: _Core = field(default_factory=_Core)
    held: dict[Event, None] = field(default_factory=dict)
    queued: deque[Event] = field(default_factory=deque)
    taken: int = 0
    lines: dict[tuple[int, int], deque[Event]] = field(default_factory=dict)


Action = Callable[[float], None]


class Simulation:
    """`run` once."""

    def __init__(
        self, design: Design, traffic: Traffic, costs: Costs, *, seed: int = 0, outages: tuple[Outage, ...] = ()
    ) -> None:
        self._design = design
        self._traffic = traffic
        self._costs = costs
        self._chance = random.Random(seed)
        self._agenda: list[tuple[float, int, Action]] = []
        self._order = count()
        self._partitions = [_Partition() for _ in range(design.partitions)]
        self._router = _Core()
        self._routing: dict[Event, None] = {}
        self._routed: deque[Event] = deque(maxlen=WINDOW)
        self._inverted = 0
        for outage in outages:
            self._at(outage.at, self._router_dies(outage) if outage.core == ROUTER else self._partition_dies(outage))

    def run(self, seconds: float, *, to_the_end: bool = False) -> Run:
        """Events come for `seconds`; then it ends, or when each of them has ended."""
        events = list(self._events(seconds))
        for event in events:
            self._at(event.at, self._comes(event))
        while self._agenda and (to_the_end or self._agenda[0][0] <= seconds):
            now, _, action = heappop(self._agenda)
            action(now)
        cores: Mapping[int | str, _Core] = {n: partition.core for n, partition in enumerate(self._partitions)}
        busy = {name: core.worked / seconds for name, core in {**cores, ROUTER: self._router}.items()}
        return Run(seconds, events, busy, self._inverted)

    def _events(self, seconds: float) -> Iterator[Event]:
        """A Poisson process."""
        traffic, chance = self._traffic, self._chance
        cumulative, now = list(accumulate(traffic.shares())), 0.0
        last: dict[tuple[int, int], Event] = {}
        while (now := now + chance.expovariate(traffic.rate)) < seconds:
            instance = chance.choices(range(traffic.instances), cum_weights=cumulative)[0]
            key = (instance, chance.randrange(traffic.chats))
            wanted = chance.random() < traffic.wanted
            event = Event(now, instance, key, wanted, last.get(key) if wanted else None)
            if wanted:
                last[key] = event
            yield event

    def _at(self, when: float, action: Action) -> None:
        heappush(self._agenda, (when, next(self._order), action))

    def _comes(self, event: Event) -> Action:
        return lambda now: self._route(event, now) if self._design.routed else self._reach(event, now)

    # The router.

    def _route(self, event: Event, now: float) -> None:
        life = self._router.life
        self._routing[event] = None

        def routed(now: float) -> None:
            if life != self._router.life:
                return
            del self._routing[event]
            if event.wanted:
                self._routed.append(event)
                self._reach(event, now)
            else:
                event.ended = True

        self._at(self._router.run(now, self._costs.route if event.wanted else self._costs.skip), routed)

    def _router_dies(self, outage: Outage) -> Action:
        def dies(now: float) -> None:
            again = [*self._routed, *self._routing]
            self._routed.clear()
            self._routing.clear()
            self._router.die(now, outage.seconds)
            for event in again:
                self._route(event, now)

        return dies

    # A partition.

    def _reach(self, event: Event, now: float) -> None:
        """It is in the partition's queue."""
        partition = self._partitions[self._design.partition(event.instance)]
        partition.held[event] = None
        partition.queued.append(event)
        self._fill(partition, now)

    def _fill(self, partition: _Partition, now: float) -> None:
        while partition.queued and partition.taken < PREFETCH:
            partition.taken += 1
            self._take(partition, partition.queued.popleft(), now)

    def _take(self, partition: _Partition, event: Event, now: float) -> None:
        core, life = partition.core, partition.core.life

        def taken(now: float) -> None:
            if life != core.life:
                return
            if not event.wanted:
                self._end(partition, event, now)
                return
            line = partition.lines.setdefault(event.key, deque())
            line.append(event)
            if len(line) == 1:
                self._post(partition, line, now)

        self._at(core.run(now, self._costs.take if event.wanted else self._costs.skip), taken)

    def _post(self, partition: _Partition, line: deque[Event], now: float) -> None:
        event, core, life = line[0], partition.core, partition.core.life

        def posted(now: float) -> None:
            if life != core.life:
                return
            event.posts += 1
            if event.posted_at is None:
                event.posted_at = now
                self._inverted += event.before is not None and not event.before.ended
            self._at(now + self._costs.answer, answered)

        def answered(now: float) -> None:
            if life == core.life:
                self._at(core.run(now, self._costs.settle), settled)

        def settled(now: float) -> None:
            if life != core.life:
                return
            self._end(partition, line.popleft(), now)
            if line:
                self._post(partition, line, now)
            else:
                del partition.lines[event.key]

        self._at(core.run(now, self._costs.post), posted)

    def _end(self, partition: _Partition, event: Event, now: float) -> None:
        event.ended = True
        partition.taken -= 1
        self._fill(partition, now)
        partition.held.pop(event, None)  # None: a copy came by a router that had died meanwhile

    def _partition_dies(self, outage: Outage) -> Action:
        def dies(now: float) -> None:
            assert isinstance(outage.core, int)
            partition = self._partitions[outage.core]
            partition.lines.clear()
            partition.taken = 0
            partition.queued = deque(partition.held)
            partition.core.die(now, outage.seconds)
            self._fill(partition, now)

        return dies

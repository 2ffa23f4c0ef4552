"""Random walks: replicas, brokers, receivers and faults in every order that chance finds."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.ordered.model_broker import Queue
from tests.ordered.model_replica import Event, Replica, Step
from worker.domain.webhook import Endpoint
from worker.ordered.deciding.ports import Announcement
from worker.ordered.deciding.rules import Rules

BEAT = 0.25
LONGEST = 900.0
"""Simulated seconds that a walk without faults may take to deliver everything."""
TIMEOUT = 8.0
"""What a replica waits for an answer."""


@dataclass
class Verdict:
    """`inversions`: an attempt that began before the delivery of an earlier event of its key had ended."""

    inversions: list[str] = field(default_factory=list)
    stranded: list[str] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        return bool(self.inversions or self.stranded)


class World:
    """One walk. `counts` and `cancels` are sabotage: see test_walks.py. `there_and_back`: the queue also goes to
    another replica, and comes back to one that has heard nothing of that."""

    def __init__(
        self,
        seed: int,
        *,
        replicas: int = 2,
        faults: int = 8,
        there_and_back: bool = False,
        counts: bool = False,
        cancels: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.counts = counts
        self.cancels = cancels
        self.now = 0.0
        self.alarm_until = 0.0
        choose = self.random.choice
        self.rules = Rules(
            prefetch=choose((6, 40)),
            most_sidings=choose((1, 2, 3)),
            most_bytes=choose((8, 1000)),
            unacked_seconds=choose((6.0, 300.0)),
            most_siding_bytes=choose((1, 4, 1000)),
        )
        self.queue = Queue()
        self.sidings: list[Queue] = []
        self.posts: list[Step] = []
        self.ghosts: list[deque[Step]] = []
        self.verdict = Verdict()
        self._serials = 0
        self._events: dict[str, Event] = {}
        self._known: dict[tuple[str, str], list[Event]] = {}
        self._done: set[str] = set()
        self._poisoned: dict[str, str] = {}
        self._down_until = {"a": 0.0, "b": 0.0}
        self._answering = dict.fromkeys(self._down_until, False)
        self._hanging = dict.fromkeys(self._down_until, False)
        self._held: list[tuple[float, Step]] = []
        self._endpoints = {name: Endpoint("acme", name) for name in self._down_until}
        self._faults = faults
        self._there_and_back_too = there_and_back
        self._back_at: list[float] = []
        self.replicas = [Replica(self, str(number)) for number in range(replicas)]

    # The walk.

    def walk(self) -> Verdict:
        """Events come and faults strike for a while; then all must be delivered."""
        until = 10.0 + 6.0 * self._faults
        faults = sorted(self.random.uniform(3, until) for _ in range(self._faults))
        arrivals = sorted(self.random.uniform(0, until) for _ in range(40))
        while self.now < until or faults:
            self._arrive(arrivals)
            if faults and self.now >= faults[0]:
                faults.pop(0)
                self._strike()
            self._come_back()
            self._on(busy=self.random.choice((2, 6, 20, 60)))
        self._heal()
        while self.now < LONGEST and not self._finished():
            self._on(busy=10_000)
        self.verdict.stranded = [event for event in self._events if event not in self._done]
        return self.verdict

    def _on(self, busy: int) -> None:
        """At most `busy` things happen in any order, then a beat's time passes."""
        for _ in range(busy):
            lines = [steps for replica in self.replicas for steps in replica.steps()]
            unordered = [replica.local for replica in self.replicas if replica.runs and replica.local]
            if self.posts:
                unordered.append(self.posts)
            if not lines and not unordered:
                break
            if unordered and (not lines or self.random.random() < 0.3):
                steps = self.random.choice(unordered)
                steps.pop(self.random.randrange(len(steps)))()
            else:
                self.random.choice(lines).popleft()()
        self._pass_time()

    def _pass_time(self) -> None:
        self.now += BEAT
        self.posts += [post for until, post in self._held if until <= self.now]
        self._held = [held for held in self._held if held[0] > self.now]
        self.ghosts = [steps for steps in self.ghosts if steps]
        for steps in self.ghosts if self.now >= self.alarm_until else ():
            if self.random.random() < 0.1:
                steps.popleft()()
        for replica in self.replicas:
            if replica.core is None and self.now >= replica.back_at:
                replica.connect()
            elif replica.core is not None and replica.closed and self.now >= replica.cut_until:
                replica.crash()
            elif replica.runs:
                replica.beat()

    def _arrive(self, arrivals: list[float]) -> None:
        while arrivals and arrivals[0] <= self.now:
            arrivals.pop(0)
            endpoint, key = self.random.choice("ab"), self.random.choice("xy")
            siblings = self._known.setdefault((endpoint, key), [])
            event = Event(endpoint, key, len(siblings) + 1)
            siblings.append(event)
            self._events[event.id] = event
            if endpoint not in self._poisoned and self.random.random() < 0.05:
                # One for an endpoint: with two, nothing tells that it is well.
                self._poisoned[endpoint] = event.id
            self.queue.publish(event)

    def _finished(self) -> bool:
        return len(self._done) == len(self._events)

    # Faults.

    def _strike(self) -> None:
        running = [replica for replica in self.replicas if replica.core is not None]
        if not running:
            return
        replica = self.random.choice(running)
        faults: dict[Callable[[], None], int] = {
            self._outage: 7,
            replica.crash: 3,
            replica.drain: 3,
            self._blip: 5,
            partial(self._cut, replica): 1,
            partial(self._stun, replica): 2,
            partial(self._break_publishing, replica): 1,
            self._alarm: 1,
        }
        if self._there_and_back_too:
            faults[self._there_and_back] = 10
        self.random.choices(list(faults), list(faults.values()))[0]()

    def _outage(self) -> None:
        name = self.random.choice("ab")
        self._down_until[name] = self.now + self.random.uniform(3, 25)
        self._answering[name] = self.random.random() < 0.5
        self._hanging[name] = self.random.random() < 0.4

    def _blip(self) -> None:
        """Between nodes: some queues are given to another consumer, and the one before may hear nothing for long."""
        before = [replica for replica in self.replicas if replica.main.consumer in self.queue.consumers[:1]]
        if self.random.random() < 0.5:
            self.queue.blip()
        else:
            for queue in (self.queue, *self.sidings):
                queue.blip()
        if self.random.random() < 0.6:
            for replica in before:
                self._stun(replica)

    def _there_and_back(self) -> None:
        """Whoever is active knows nothing of the time between, in which another one has put a receiver's events into a
        siding. Without a lease it sends what is fresh past them."""
        self._outage()
        for replica in self.replicas:
            if replica.main.consumer in self.queue.consumers[:1]:
                replica.deaf_until = self.now + self.random.uniform(10, 25)
        self.queue.blip()
        self._back_at.append(self.now + self.random.uniform(4, 10))

    def _come_back(self) -> None:
        due = [at for at in self._back_at if at <= self.now]
        for at in due:
            self._back_at.remove(at)
            self.queue.blip()

    def _stun(self, replica: Replica) -> None:
        """SIGSTOP, or its own queue of announcements is slow."""
        until = self.now + self.random.uniform(1, 15)
        if self.random.random() < 0.5:
            replica.frozen_until = until
        else:
            replica.deaf_until = until

    def _cut(self, replica: Replica) -> None:
        """A partition: for some seconds nothing gets through; the broker may close what it does not hear."""
        replica.cut_until = self.now + self.random.uniform(0.2, 12)
        if replica.cut_until - self.now > 6:
            for channel in (replica.main, *replica.sidings.values()):
                if channel.consumer is not None:
                    channel.consumer.queue.close(channel.consumer)
            replica.closed = True

    def _alarm(self) -> None:
        """RabbitMQ takes no publishes; what replicas have sent waits, even when they are gone."""
        self.alarm_until = self.now + self.random.uniform(1, 12)

    def _break_publishing(self, replica: Replica) -> None:
        for number in list(replica.publishing):
            replica.break_publishing(number)

    def _heal(self) -> None:
        for name in self._down_until:
            self._down_until[name] = min(self._down_until[name], self.now + 5)
        self.alarm_until = 0.0
        for replica in self.replicas:
            replica.frozen_until = replica.cut_until = replica.deaf_until = 0.0
            if replica.core is not None and self.random.random() < 0.5:
                replica.crash()

    # What the receivers see.

    def begins(self, event_id: str) -> None:
        """A POST begins."""
        event = self._events[event_id]
        if event_id in self._done:
            return  # a repeat
        for earlier in self._known[event.endpoint, event.key][: event.number - 1]:
            if earlier.id not in self._done:
                self.verdict.inversions.append(f"{event_id} began at {self.now} before {earlier.id} had ended")

    def receives(self, event_id: str) -> bool:
        event = self._events[event_id]
        if event_id in self._poisoned.values() or self.is_down(event.endpoint):
            return False
        self._done.add(event_id)
        return True

    def holds(self, post: Step, endpoint: str) -> bool:
        """Whether its receiver accepts and does not answer; the post is over when nobody waits for it any more."""
        if not (self._hanging[endpoint] and self.is_down(endpoint)):
            return False
        self._held.append((self.now + TIMEOUT, post))
        return True

    def gives_up(self, event_id: str) -> None:
        self._done.add(event_id)

    def is_down(self, endpoint: str) -> bool:
        return self.now < self._down_until[endpoint]

    def answers(self, endpoint: str) -> bool:
        """Whether a failed attempt got a status at least."""
        return not self.is_down(endpoint) or self._answering[endpoint]

    # What replicas ask for.

    def endpoint(self, name: str) -> Endpoint:
        return self._endpoints[name]

    def event(self, event_id: str) -> Event:
        return self._events[event_id]

    def siding(self, number: int) -> Queue:
        while len(self.sidings) < number:
            self.sidings.append(Queue())
        return self.sidings[number - 1]

    def announce(self, announcement: Announcement) -> None:
        for replica in self.replicas:
            if replica.core is not None:
                replica.hear(announcement)

    def serial(self) -> int:
        self._serials += 1
        return self._serials

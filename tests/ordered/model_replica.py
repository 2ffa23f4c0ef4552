"""A replica of the model: the real core, and a driver whose every message takes its time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tests.ordered.model_broker import Consumer, Message
from worker.ordered.deciding.core import Core
from worker.ordered.deciding.ports import Announcement, Item, Kind, NotNow, Stamp

if TYPE_CHECKING:
    from tests.ordered.model_world import World

Step = Callable[[], None]


@dataclass(frozen=True)
class Event:
    endpoint: str
    key: str
    number: int

    @property
    def id(self) -> str:
        return f"{self.endpoint}/{self.key}/{self.number}"


@dataclass(frozen=True)
class Copy:
    """What is published to a siding."""

    stamp: Stamp
    event: Event | None


@dataclass(eq=False)
class Channel:
    """One consuming channel: what goes to the broker and what comes from it, each in its order."""

    up: deque[Step] = field(default_factory=deque)
    down: deque[Step] = field(default_factory=deque)
    consumer: Consumer | None = None


class Replica:
    """One process. `core` is None while it is not connected."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.core: Core | None = None
        self.back_at = 0.0
        self.frozen_until = 0.0
        self.cut_until = 0.0
        self.deaf_until = 0.0
        self._begin()

    def _begin(self) -> None:
        self.main = Channel()
        self.sidings: dict[int, Channel] = {}
        self.publishing: dict[int, deque[Step]] = {}
        self.replies: dict[int, deque[Step]] = {}
        self.ticks: deque[Step] = deque()
        self.news: deque[Step] = deque()
        self.local: list[Step] = []
        self.generations: dict[int, int] = {}
        self.broken: set[int] = set()
        self.draining = False
        self.closed = False

    # Life.

    def connect(self) -> None:
        self._begin()
        world = self.world
        self.core = Core(self, world.rules, self._new_epoch, lambda: world.now)
        self.main.consumer = world.queue.consume(world.rules.prefetch, partial(self._delivered, self.core, self.main))

    def _new_epoch(self, highest: int) -> int:
        # Clocks are wrong by seconds, and no two replicas get the same number.
        clock = int(self.world.now * 1000) + self.world.random.randint(-5000, 5000) + 10_000
        return max(clock, highest // 1000 + 1) * 1000 + self.world.random.randrange(1000)

    def crash(self, *, ghosts: bool = True) -> None:
        """Its process ends. What it had sent may still arrive, its publishes even after its consumers are gone."""
        for channel in (self.main, *self.sidings.values()):
            for step in list(channel.up)[: self.world.random.randint(0, len(channel.up))]:
                step()
            self._closed(channel)
        if ghosts:
            self.world.ghosts.extend(steps for steps in self.publishing.values() if steps)
        self.core = None
        self.back_at = self.world.now + self.world.random.uniform(0, 4)

    def give_way(self) -> None:
        self.local.append(self.crash)

    def drain(self) -> None:
        assert self.core is not None
        self.core.drain()
        self.draining = True
        if self.world.cancels and self.main.consumer in self.world.queue.consumers:
            self.world.queue.cancel(self.main.consumer)

    def beat(self) -> None:
        core = self.core
        if core is None:
            return
        core.beat(blocked=self.world.now < self.world.alarm_until)
        if self.world.now < self.world.alarm_until and self.world.now >= self.cut_until:
            self.news.append(partial(self._answers, core, self.world.now))
        if self.draining and core.resting and not self.local:
            if self.world.cancels and self.main.consumer is not None:
                self.world.queue.nack_all(self.main.consumer)
            self.crash(ghosts=False)

    @property
    def runs(self) -> bool:
        return self.core is not None and self.world.now >= self.frozen_until

    def steps(self) -> list[deque[Step]]:
        """What can happen next, by its line."""
        if self.core is None:
            return []
        channels = (self.main, *self.sidings.values())
        connected = self.world.now >= self.cut_until
        found: list[deque[Step]] = []
        if connected:
            found += [channel.up for channel in channels]
        if connected and self.world.now >= self.world.alarm_until:
            found += [*self.publishing.values(), self.ticks]
        if connected and self.runs:
            found += [channel.down for channel in channels]
            found += self.replies.values()
            if self.world.now >= self.deaf_until:
                found.append(self.news)
        return [steps for steps in found if steps]

    # What comes from the broker.

    def _answers(self, core: Core, asked_at: float) -> None:
        """RabbitMQ, while it takes no publishes, about the queue of announcements: behind those that it held."""
        if self.core is core:
            core.answered(asked_at)

    def _delivered(self, core: Core, channel: Channel, tag: int, message: Message) -> None:
        channel.down.append(partial(self._took, core, channel, tag, message))

    def _took(self, core: Core, channel: Channel, tag: int, message: Message) -> None:
        if self.core is not core:
            return
        event = message.body
        if isinstance(event, Event):
            core.took(self._item(event, (channel, tag), message))
        else:
            core.first_came()
            self._ack((channel, tag))

    def _from_siding(self, core: Core, channel: Channel, number: int, tag: int, message: Message) -> None:
        channel.down.append(partial(self._came, core, channel, number, tag, message))

    def _came(self, core: Core, channel: Channel, number: int, tag: int, message: Message) -> None:
        if self.core is not core or self.sidings.get(number) is not channel:
            return
        copy, token = message.body, (channel, tag)
        assert isinstance(copy, Copy)
        item = None if copy.event is None else self._item(copy.event, token, message)
        core.came(number, copy.stamp, item, token)

    def _item(self, event: Event, token: object, message: Message) -> Item:
        endpoint = self.world.endpoint(event.endpoint)
        return Item(event.id, endpoint, event.key, token, size=1, again=message.redelivered, block_seconds=20.0)

    # Acts.

    def attempt(self, item: Item) -> NotNow | None:
        if self.world.is_down(item.endpoint.webhook_id) and self.world.random.random() < 0.5:
            return NotNow(2.0, down=True)
        core = self.core
        if self.world.random.random() < 0.03:
            self.local.append(partial(self._waited, core, item))
            return None
        self.world.begins(item.id)
        post = partial(self._arrived, core, item)
        if not self.world.holds(post, item.endpoint.webhook_id):
            self.world.posts.append(post)
        return None

    def _waited(self, core: Core | None, item: Item) -> None:
        """It stood in line for a place, in vain."""
        if core is not None and self.core is core:
            core.put_off(item, NotNow(1.0))

    def _arrived(self, core: Core | None, item: Item) -> None:
        """The receiver answers; the answer is on its way."""
        succeeded = self.world.receives(item.id)
        self.local.append(partial(self._answered, core, item, succeeded))

    def _answered(self, core: Core | None, item: Item, succeeded: bool) -> None:
        if core is None or self.core is not core:
            return
        if succeeded:
            core.ended(item, succeeded=True)
        else:
            core.failed(item, answered=self.world.answers(item.endpoint.webhook_id))

    def give_up(self, item: Item) -> None:
        self.local.append(partial(self._gave_up, self.core, item))

    def _gave_up(self, core: Core | None, item: Item) -> None:
        if core is not None and self.core is core:
            self.world.gives_up(item.id)
            core.ended(item, succeeded=False)

    def settle(self, item: Item) -> None:
        self._ack(item.token)

    def drop(self, number: int, token: object) -> None:
        self._ack(token)

    def _ack(self, token: object) -> None:
        channel, tag = token  # type: ignore[misc]
        channel.up.append(lambda: channel.consumer.ack(tag))

    def find_sidings(self) -> None:
        core = self.core

        def found() -> None:
            if core is not None and self.core is core:
                core.found(len(self.world.sidings))

        self.local.append(found)

    def open_siding(self, number: int) -> None:
        channel = self.sidings[number] = Channel()
        core = self.core
        assert core is not None
        prefetch = min(8, core.sidings[number].prefetch)

        def consume() -> None:
            heard = partial(self._from_siding, core, channel, number)
            channel.consumer = self.world.siding(number).consume(prefetch, heard)

        channel.up.append(consume)

    def close_siding(self, number: int) -> None:
        channel = self.sidings.pop(number)
        channel.up.append(lambda: self._closed(channel))
        self.sidings[-self.world.serial()] = channel  # until it has closed

    def reopen_siding(self, number: int) -> None:
        self.close_siding(number)
        self.open_siding(number)

    def wait_for_acks(self, number: int) -> None:
        channel, core = self.sidings[number], self.core

        def stored() -> None:
            if core is not None and self.core is core:
                core.acks_stored(number)

        channel.up.append(lambda: self.local.append(stored))

    def publish(self, number: int, stamp: Stamp, item: Item | None) -> None:
        core, generation = self.core, self.generations.get(number, 0)
        assert core is not None
        if number in self.broken:
            return  # nothing more goes to that channel before the core has heard of it
        event = None if item is None else self.world.event(item.id)
        if self.world.counts and stamp.kind is Kind.MARKER and not stamp.use and not self.world.siding(number).ready:
            # The sabotaged way: a siding without ready messages is taken for free.
            self.local.append(partial(self._counted, core, number, stamp))
            return

        def arrives() -> None:
            self.world.siding(number).publish(Copy(stamp, event))
            self.replies.setdefault(number, deque()).append(confirm)

        def confirm() -> None:
            if self.core is core and self.generations.get(number, 0) == generation:
                core.confirmed(number, stamp.serial)

        self.publishing.setdefault(number, deque()).append(arrives)

    def _counted(self, core: Core, number: int, stamp: Stamp) -> None:
        if self.core is core:
            core.came(number, stamp, None, (Channel(consumer=Consumer(self.world.siding(number), 0, print)), 0))

    def break_publishing(self, number: int) -> None:
        """The channel breaks: of what is under way a part arrives, and no confirm comes back."""
        steps = self.publishing.pop(number, deque())
        for step in list(steps)[: self.world.random.randint(0, len(steps))]:
            step()
        self.generations[number] = self.generations.get(number, 0) + 1
        core = self.core

        self.broken.add(number)

        def failed() -> None:
            self.broken.discard(number)
            if core is not None and self.core is core:
                core.publish_failed(number)

        self.local.append(failed)

    def announce(self, announcement: Announcement) -> None:
        self.ticks.append(lambda: self.world.announce(announcement))

    def hear(self, announcement: Announcement) -> None:
        core = self.core

        def heard() -> None:
            if core is not None and self.core is core:
                core.heard(announcement)

        self.news.append(heard)

    def tick(self, number: int) -> None:
        core = self.core

        def arrives() -> None:
            self.world.queue.publish(None)
            self.replies.setdefault(0, deque()).append(confirmed)

        def confirmed() -> None:
            if core is not None and self.core is core:
                core.tick_confirmed(number)

        self.ticks.append(arrives)

    def _closed(self, channel: Channel) -> None:
        if channel.consumer is not None:
            channel.consumer.queue.close(channel.consumer)
        channel.up.clear()
        channel.down.clear()

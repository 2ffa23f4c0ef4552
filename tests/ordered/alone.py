"""One replica over a broker that answers when it is told to: for tests that look at the core alone."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from worker.domain.webhook import Endpoint
from worker.ordered.deciding.core import Core
from worker.ordered.deciding.ports import Announcement, Item, Kind, NotNow, Stamp
from worker.ordered.deciding.role import State
from worker.ordered.deciding.rules import BEAT_SECONDS, Rules


@dataclass(frozen=True)
class InSiding:
    """One message of a siding, as it was published."""

    stamp: Stamp
    item: Item | None


class Alone:
    """Acts of one replica. `attempts` and `letters` are under way until the test ends them."""

    def __init__(self, rules: Rules | None = None, *, sidings: int = 0) -> None:
        self.now = 1000.0
        self.attempts: list[Item] = []
        self.letters: list[Item] = []
        self.settled: list[str] = []
        self.down: set[Endpoint] = set()
        self.not_now: NotNow | None = None
        self.sidings: dict[int, deque[InSiding]] = {number: deque() for number in range(1, sidings + 1)}
        self.unconfirmed: list[tuple[int, int]] = []
        self.emptied: list[int] = []
        self.reopened: list[int] = []
        self.gave_way = False
        self.ticks: list[int] = []
        self.delivered: set[tuple[int, int]] = set()
        """Siding and serial of what was delivered once: it has arrived, whatever becomes of its confirm."""
        self._unacked: dict[int, list[InSiding]] = {}
        self._said: list[Announcement] = []
        self._asked = False
        self.core = Core(self, rules or Rules(), lambda highest: highest + 1, lambda: self.now)

    # What the test does.

    def become_active(self) -> None:
        self.core.first_came()
        for _ in range(20):
            self.pass_time(BEAT_SECONDS)
            self.broker_does_all()
        assert self.core.role.state is State.ACTIVE

    def pass_time(self, seconds: float, *, blocked: bool = False) -> None:
        """In beats, with a lease all the time; `blocked`: RabbitMQ takes no publishes."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + BEAT_SECONDS)
            self.core.beat(blocked=blocked)
            said, self._said = self._said, []
            for announcement in said:
                self.core.heard(announcement)
                self.core.tick_confirmed(announcement.number)
            if self._asked:
                self._asked = False
                self.core.found(len(self.sidings))

    def broker_does_all(self) -> None:
        """Until nothing is under way there."""
        while self.unconfirmed or self.emptied or any(self.sidings.values()):
            before = (len(self.unconfirmed), len(self.emptied), sum(map(len, self.sidings.values())))
            self.confirm()
            for number in list(self.sidings):
                self.deliver(number)
            self.store_acks()
            if before == (len(self.unconfirmed), len(self.emptied), sum(map(len, self.sidings.values()))):
                return

    def confirm(self) -> None:
        waiting, self.unconfirmed = self.unconfirmed, []
        for number, serial in waiting:
            self.core.confirmed(number, serial)

    def deliver(self, number: int, prefetch: int = 100) -> None:
        unacked = self._unacked.get(number)
        prefetch = min(prefetch, self.core.sidings[number].prefetch) if unacked is not None else 0
        while unacked is not None and self.sidings[number] and len(unacked) < prefetch:
            message = self.sidings[number].popleft()
            unacked.append(message)
            self.delivered.add((number, message.stamp.serial))
            item = message.item and _copy(message.item, (number, message))
            self.core.came(number, message.stamp, item or None, (number, message))
            unacked = self._unacked.get(number)

    def store_acks(self) -> None:
        emptied, self.emptied = self.emptied, []
        for number in emptied:
            self.core.acks_stored(number)

    def succeed(self, item: Item) -> None:
        self.attempts.remove(item)
        self.core.ended(item, succeeded=True)

    def skip(self, item: Item) -> None:
        """It ends at its first attempt, without a success."""
        self.attempts.remove(item)
        self.core.ended(item, succeeded=False)

    def fail(self, item: Item, *, answered: bool = True) -> None:
        self.attempts.remove(item)
        self.core.failed(item, answered=answered)

    def bury(self, item: Item) -> None:
        """The dead letter is confirmed."""
        self.letters.remove(item)
        self.core.ended(item, succeeded=False)

    # Acts.

    def attempt(self, item: Item) -> NotNow | None:
        if item.endpoint in self.down:
            return NotNow(1.0, down=True)
        if self.not_now is not None:
            return self.not_now
        self.attempts.append(item)
        return None

    def give_up(self, item: Item) -> None:
        self.letters.append(item)

    def settle(self, item: Item) -> None:
        self.settled.append(item.id)
        if item.siding:
            self.drop(item.siding, item.token)

    def find_sidings(self) -> None:
        self._asked = True

    def open_siding(self, number: int) -> None:
        self.sidings.setdefault(number, deque())
        self._unacked[number] = []

    def publish(self, number: int, stamp: Stamp, item: Item | None) -> None:
        self.sidings[number].append(InSiding(stamp, item))
        self.unconfirmed.append((number, stamp.serial))

    def drop(self, number: int, token: object) -> None:
        _, message = token  # type: ignore[misc]
        self._unacked[number].remove(message)

    def wait_for_acks(self, number: int) -> None:
        self.emptied.append(number)

    def reopen_siding(self, number: int) -> None:
        self.reopened.append(number)
        self.sidings[number].extendleft(reversed(self._unacked[number]))
        self._unacked[number] = []

    def close_siding(self, number: int) -> None:
        self.sidings[number].extendleft(reversed(self._unacked.pop(number)))

    def announce(self, announcement: Announcement) -> None:
        self._said.append(announcement)

    def tick(self, number: int) -> None:
        self.ticks.append(number)

    def give_way(self) -> None:
        self.gave_way = True

    def messages_in(self, number: int) -> list[InSiding]:
        """What a siding holds, un-acked ones first."""
        return [*self._unacked.get(number, ()), *self.sidings[number]]

    def serials_in(self, number: int) -> list[tuple[int, str]]:
        """The serials and ids of a siding's events."""
        found = [(one.stamp.serial, one.item) for one in self.messages_in(number) if one.stamp.kind is Kind.EVENT]
        return [(serial, item.id) for serial, item in found if item is not None]

    def events_in(self, number: int) -> list[str]:
        """The ids of a siding's events."""
        return [name for _, name in self.serials_in(number)]


def _copy(item: Item, token: object) -> Item:
    return Item(item.id, item.endpoint, item.key, token, size=item.size, block_seconds=item.block_seconds)

"""Decides what is attempted when, so that no two events of one order key are ever sent in the wrong order.

Pure: no I/O, no tasks, no clock of its own. The driver tells what happened and does what `Acts` asks for.
docs/decisions/0031-order.md has the states and why no interleaving of replicas inverts.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf

from worker.basics.clock import Clock
from worker.domain.webhook import Endpoint
from worker.ordered.deciding.crowding import Crowding
from worker.ordered.deciding.in_hand import InHand
from worker.ordered.deciding.key import Key
from worker.ordered.deciding.line import DIRECT, Line, Mode
from worker.ordered.deciding.moving import Moving
from worker.ordered.deciding.ports import Acts, Announcement, Item, NotNow, Stamp
from worker.ordered.deciding.reading import Reading
from worker.ordered.deciding.recent import Recent
from worker.ordered.deciding.role import STANDBY, Role, State
from worker.ordered.deciding.rules import Rules
from worker.ordered.deciding.sidings import Sidings


class Core:
    """The ordered side of one connection, from its opening to its end. A new connection gets a new one.

    `beat` must be called every BEAT_SECONDS. `recent` may be handed on from the former connection's.
    """

    def __init__(
        self,
        acts: Acts,
        rules: Rules,
        new_epoch: Callable[[int], int],
        monotonic: Clock,
        recent: Recent | None = None,
    ) -> None:
        self._acts = acts
        self._monotonic = monotonic
        self.role = Role(acts, new_epoch, monotonic())
        self.sidings = Sidings(acts, self.role, rules, self)
        self._moving = Moving(acts, self.role, self.sidings, self)
        self._reading = Reading(acts, self.role, rules, self.sidings, self._moving, self)
        self.in_hand = InHand()
        self._lines = self.in_hand.by_endpoint
        self._crowding = Crowding(rules, self.in_hand)
        self._timers: list[tuple[float, int, Line, Key | None]] = []
        self._numbers = count()
        self._recent = Recent() if recent is None else recent
        self._taken = 0
        self.over = False
        """Its connection has ended: nothing may be told to it any more."""
        self._stalled = False
        self._acts_since = -inf

    # What came from the queue.

    def first_came(self) -> None:
        """A tick, or a message that is for no ordered webhook, has come from the queue."""
        self.role.first_came(self._monotonic())

    def took(self, item: Item) -> None:
        """In the order in which the queue delivered them."""
        now = self._monotonic()
        if self.role.state is STANDBY:
            self.role.first_came(now)
        item.taken_at = now
        line = self._lines.get(item.endpoint) or self.line(item.endpoint)
        line.took(item)
        self._taken += 1
        if line.mode is DIRECT:
            self.feed(line, item, now)
        elif line.mode is Mode.SIDED:
            line.appending.append(item)
            self._moving.append(line, now)
        elif line.mode is Mode.CLOSING:
            self._moving.waits(line, now)

    # What became of an attempt.

    def ended(self, item: Item, *, succeeded: bool) -> None:
        """Its delivery has ended for good: delivered (`succeeded`), skipped, or dead-lettered with a confirm."""
        now = self._monotonic()
        line = self._lines[item.endpoint]
        key = line.keys[item.key]
        self._leaves(line, key, item, now, succeeded=succeeded)
        if line.suspect is not None:
            self._judge(line, line.suspect, now)
        if key.items:
            self._start(line, key, now)
        if line.mode is not DIRECT:
            self._moving.close(line, now)

    def failed(self, item: Item, *, answered: bool) -> None:
        """It is to be tried again. `answered`: with a status that says no, and no time to wait for."""
        now = self._monotonic()
        line = self._lines[item.endpoint]
        key, suspected = line.keys[item.key], line.suspect
        line.failed(key, now, answered=answered)
        if not self._judge(line, key, now):
            self._start(line, key, now)
        if suspected is not None and line.suspect is not suspected:
            self._start(line, suspected, now)
        self._moving.trouble(line, now)
        self._moving.close(line, now)

    def put_off(self, item: Item, not_now: NotNow) -> None:
        """The attempt was not made."""
        now = self._monotonic()
        line = self._lines[item.endpoint]
        self._put_off(line, line.keys[item.key], not_now, now)
        self._moving.close(line, now)

    # What concerns the sidings and the other replicas.

    def found(self, sidings: int) -> None:
        self._reading.found(sidings, self._monotonic())
        self._begin_if_answered()

    def came(self, number: int, stamp: Stamp, item: Item | None, token: object) -> None:
        """From a siding."""
        self._reading.came(number, stamp, item, token, self._monotonic())
        self._begin_if_answered()

    def confirmed(self, number: int, serial: int) -> None:
        taken = self._moving.confirmed(number, serial, self._monotonic())
        self._taken -= len(taken)

    def publish_failed(self, number: int) -> None:
        self._moving.publish_failed(number, self._monotonic())

    def acks_stored(self, number: int) -> None:
        self._moving.acks_stored(number, self._monotonic())

    def heard(self, announcement: Announcement) -> None:
        self.role.heard(announcement, self._monotonic())

    def tick_confirmed(self, number: int) -> None:
        self.role.lease.confirmed(number)

    def answered(self, asked_at: float) -> None:
        """See Lease.answered; `asked_at` is monotonic."""
        self.role.lease.answered(asked_at)

    # What time brings.

    def beat(self, *, blocked: bool = False) -> None:
        """`blocked`: RabbitMQ takes no publishes now, so that nothing can come into a siding; attempts go on."""
        if self.role.draining and self.resting:
            return  # it leaves, and a tick that goes out now would stay in the queue
        now = self._monotonic()
        if self.role.beat(now):
            self.role.asking()
            self._acts.find_sidings()
        self._reading.beat(now)
        self.in_hand.forget_idle()
        if not self.role.may_act(now):
            self._acts_since = now
            return
        self._wake(now)
        if self._stalled:
            self._stalled = False
            for line in self.in_hand.all():
                self.start(line, now)
        if not blocked:
            for line in self._crowding.in_the_way(now, self._acts_since):
                self._moving.move(line, now)

    def wake(self) -> None:
        """Between two beats: what was put off for less than a beat goes on."""
        now = self._monotonic()
        if self.role.may_act(now):
            self._wake(now)

    def drain(self) -> None:
        """Nothing begins any more."""
        self.role.draining = True

    @property
    def resting(self) -> bool:
        """Whether nothing is under way."""
        return not self.sidings.publishing and not self.in_hand.under_way

    @property
    def waiting(self) -> int:
        """Deliveries that were taken and have not ended, those of sidings included."""
        return self._taken + sum(len(siding.items) for siding in self.sidings)

    @property
    def bytes(self) -> int:
        """Of the bodies of those."""
        return self.in_hand.bytes + sum(siding.bytes for siding in self.sidings)

    @property
    def oldest_wait(self) -> float:
        """Seconds for which the oldest delivery that came from the queue has waited here; 0 without any."""
        since = self.in_hand.waits_since
        return 0.0 if since is None else self._monotonic() - since

    # What Sidings asks for.

    def line(self, endpoint: Endpoint) -> Line:
        return self.in_hand.line(endpoint)

    def feed(self, line: Line, item: Item, now: float) -> None:
        key = line.feed(item)
        if key.items[0] is item:
            self._start(line, key, now)

    def start(self, line: Line, now: float) -> None:
        for key in list(line.keys.values()):
            self._start(line, key, now)

    # Attempts.

    def _start(self, line: Line, key: Key, now: float) -> None:
        """Attempts the key's head, if it may start; copies of what has ended go at once."""
        while line.ready(key, now):
            if not self.role.may_act(now):
                self._stalled = True
                return
            line.begin(key)
            head = key.items[0]
            if not (head.again and head.id in self._recent):
                not_now = self._acts.attempt(head)
                if not_now is not None:
                    self._put_off(line, key, not_now, now)
                return
            self._leaves(line, key, head, now, succeeded=False)
        if key.items and not key.busy and key.not_before > now:
            heappush(self._timers, (key.not_before, next(self._numbers), line, key))

    def _put_off(self, line: Line, key: Key, not_now: NotNow, now: float) -> None:
        line.put_off(key, now + not_now.seconds)
        heappush(self._timers, (line.held_until, next(self._numbers), line, None))
        if not_now.down:
            line.troubled = True
            self._moving.trouble(line, now)
            if line.mode is DIRECT and line.fresh and self.role.may_act(now):
                self._moving.move(line, now)

    def _judge(self, line: Line, key: Key, now: float) -> bool:
        """Gives up the key's head if the event is at fault; True: it does."""
        if key.busy or not self.role.may_act(now):
            return False
        item = line.to_give_up(key, now)
        if item is None:
            if line.suspect is key:
                self.start(line, now)
            return False
        line.begin(key)
        self._acts.give_up(item)
        return True

    def _leaves(self, line: Line, key: Key, item: Item, now: float, *, succeeded: bool) -> None:
        """It has ended. What was detached is settled with its place in the siding, and its copy is left out there."""
        self._recent.add(item.id)
        if not line.ended(key, now, succeeded=succeeded):
            return
        line.left(item)
        if item.siding:
            self.sidings[item.siding].left(item)
        else:
            self._taken -= 1
        self._acts.settle(item)

    def _begin_if_answered(self) -> None:
        if self.role.state is State.ASKING and self._reading.answered:
            self.role.begin()
            self._stalled = True
            self._reading.begin(self._monotonic())

    def _wake(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            _, _, line, key = heappop(self._timers)
            if key is None:
                self.start(line, now)
            elif line.keys.get(key.name) is key:
                self._start(line, key, now)

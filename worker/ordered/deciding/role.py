"""Which replica is active: standby, taking over, active, gone."""

from collections.abc import Callable
from enum import Enum
from math import inf

from worker.ordered.deciding.lease import Lease
from worker.ordered.deciding.ports import Acts, Announcement
from worker.ordered.deciding.rules import LEASE_PATIENCE_SECONDS, SILENCE_SECONDS, TAKEOVER_SECONDS, TICK_SECONDS


class State(Enum):
    STANDBY = "standby"
    """Nothing has come from the queue: RabbitMQ gives its messages to another replica, or there are none."""
    WAITING = "waiting"
    """The first message has come: this replica is the queue's single active consumer. The lease of the one before it
    may still hold."""
    ASKING = "asking"
    """It learns which endpoints are in sidings."""
    ACTIVE = "active"
    GONE = "gone"
    """Its connection closes: another replica took over, or this one could not know."""


STANDBY, ACTIVE, GONE = State.STANDBY, State.ACTIVE, State.GONE
"""Found once: Python 3.11 takes 0.2 us to find a member in its Enum, and each delivery asks for them."""


class Role:
    """The state of one connection. Every `now` is monotonic, in seconds.

    `new_epoch` makes an epoch higher than the one given, and no other replica's.
    """

    def __init__(self, acts: Acts, new_epoch: Callable[[int], int], now: float) -> None:
        self._acts = acts
        self._new_epoch = new_epoch
        self.state = STANDBY
        self.epoch = 0
        self.lease = Lease()
        self.draining = False
        self.highest = 0  # epoch that was heard
        self._heard_at = -inf  # so that it ticks at once: nobody may be active
        self._ticked_at = -inf
        self._number = 0
        self._waited_from: float | None = None
        self._leased_at = now

    def may_act(self, now: float) -> bool:
        """Whether an attempt, a publish or a dead letter of an ordered delivery may begin."""
        return self.state is ACTIVE and not self.draining and self.lease.valid(now)

    def may_publish(self, now: float) -> bool:
        """The same for labels and markers, by which the sidings are asked before this replica is active."""
        return self.state in (State.ASKING, ACTIVE) and not self.draining and self.lease.valid(now)

    def first_came(self, now: float) -> None:
        """Something has come from the queue: this replica is its active consumer."""
        if self.state is not STANDBY:
            return
        self.state = State.WAITING
        self.epoch = self._new_epoch(self.highest)
        self._leased_at = now
        self._announce(now)

    def heard(self, announcement: Announcement, now: float) -> None:
        self._heard_at = now
        self.highest = max(self.highest, announcement.epoch)
        if self.state in (STANDBY, GONE):
            return
        if announcement.epoch == self.epoch:
            self.lease.heard(announcement.number)
            if self._waited_from is None:
                self._waited_from = now
        elif announcement.taking_over or self.state is ACTIVE:
            self.give_way()

    def beat(self, now: float) -> bool:
        """What time alone brings. True: the wait is over, the sidings are to be asked now."""
        if self.state is GONE:
            return False
        if now - self._ticked_at >= TICK_SECONDS:
            if self.state is not STANDBY:
                self._announce(now)
            elif now - self._heard_at >= SILENCE_SECONDS:
                self._ticked_at = now
                self._acts.tick(0)
        if self.state is STANDBY:
            return False
        if self.lease.valid(now):
            self._leased_at = now
        elif now - self._leased_at >= LEASE_PATIENCE_SECONDS:
            self.give_way()
        return self._may_ask(now)

    def asking(self) -> None:
        self.state = State.ASKING

    def begin(self) -> None:
        """Every siding has answered."""
        self.state = ACTIVE

    def give_way(self) -> None:
        if self.state is not GONE:
            self.state = GONE
            self._acts.give_way()

    def _may_ask(self, now: float) -> bool:
        waited = self._waited_from is not None and now - self._waited_from >= TAKEOVER_SECONDS
        return self.state is State.WAITING and waited and not self.draining and self.lease.valid(now)

    def _announce(self, now: float) -> None:
        self._number += 1
        self._ticked_at = now
        self.lease.sent(self._number, now)
        # First, so that whoever hears it back has heard what was announced before the tick.
        self._acts.announce(Announcement(self.epoch, self.state is not ACTIVE, self._number))
        self._acts.tick(self._number)

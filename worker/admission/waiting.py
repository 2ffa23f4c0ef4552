"""The waiting room: which deliveries wait in which lane, which lane is next, when a token wakes a lane."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from worker.admission.lanes import Lane, Waiter
from worker.admission.places import Places
from worker.admission.seats import room, soon
from worker.domain.outcome import Parked


class WaitingRoom:
    """The deliveries that can neither start now nor must be parked.

    A lane with waiting deliveries stands in line (it could start one), is timed (its next token wakes it), or is
    brought back by the end of its own attempts in flight.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self.observe: Callable[[float], object] = lambda _: None
        """Called with the seconds that a delivery waited, when it leaves its lane."""
        self.on_sooner: Callable[[], object] = lambda: None
        """Called when `next_wake` has come nearer."""
        self._crowded: dict[Lane, None] = {}
        self._timers: list[tuple[float, int, Lane]] = []
        self._timed: dict[Lane, float] = {}  # the timer of its next token; an earlier one is of a rate that was changed
        self._numbers = count()  # timers of one time compare by these, never by lanes

    @property
    def crowded(self) -> list[Lane]:
        """The lanes in which deliveries wait."""
        return list(self._crowded)

    @property
    def next_wake(self) -> float | None:
        return self._timers[0][0] if self._timers else None

    def enter(self, lane: Lane, waiter: Waiter, now: float) -> None:
        lane.wait(waiter)
        self._places.seat(lane, 1)
        self._crowded[lane] = None
        self.line_up(lane, now)

    def surplus(self, lane: Lane, now: float) -> int:
        """How many more deliveries wait than may: the lane has turned out to be slower than expected."""
        may_wait = max(soon(lane, now), room(lane, self._places.seats_a_lane, now))
        return len(lane.waiting) - int(min(may_wait, len(lane.waiting)))

    def leave(self, lane: Lane, now: float, *, last: bool = False) -> Waiter:
        """The first that waits leaves the lane, or the last."""
        self._places.seat(lane, -1)
        waiter = lane.next_waiter(last=last)
        self.observe(now - waiter.since)
        if not lane.waiting:
            del self._crowded[lane]
        return waiter

    def empty(self, parked: Parked, now: float) -> None:
        """Parks every delivery that waits in any lane."""
        for lane in self.crowded:
            while lane.waiting:
                self.leave(lane, now).turn.park(parked)

    def line_up(self, lane: Lane, now: float) -> None:
        """If deliveries wait in the lane: a turn for it, or a timer for its next token."""
        if not lane.waiting:
            return
        if lane.ready(now):
            self._places.line_up(lane)
        elif lane.bucket is not None and (at := lane.bucket.ready_at) > now and self._timed.get(lane) != at:
            self._timed[lane] = at
            heappush(self._timers, (at, next(self._numbers), lane))
            if self._timers[0][0] == at:
                self.on_sooner()

    def wake(self, now: float) -> None:
        """Line up the lanes whose token has come."""
        while self._timers and self._timers[0][0] <= now:
            at, _, lane = heappop(self._timers)
            if self._timed.get(lane) == at:
                del self._timed[lane]
            self.line_up(lane, now)

    def next(self, now: float) -> tuple[Lane, Waiter] | None:
        """The lane whose turn it is, and the delivery that starts; None: none waits, or there is no place for those."""
        while (lane := self._places.next()) is not None:
            if lane.waiting and lane.ready(now):
                return lane, self.leave(lane, now)
            self.line_up(lane, now)
        return None

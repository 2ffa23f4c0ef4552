"""The waiting room: who waits in which lane, whose turn is next, when a token wakes a lane."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from worker.admission.lanes import Lane, Waiter
from worker.admission.places import Places
from worker.domain.outcome import Parked


class WaitingRoom:
    """A lane with waiters is in line (it could start one), timed (its next token wakes it), or its own
    attempts in flight bring it back when they end."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.observe: Callable[[float], object] = lambda _: None
        """Hears of each waiter that leaves: the seconds that it waited."""
        self._crowded: dict[Lane, None] = {}
        self._timers: list[tuple[float, int, Lane]] = []
        self._numbers = count()  # timers of one time compare by these, never by lanes

    @property
    def crowded(self) -> list[Lane]:
        """The lanes with waiters."""
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
        """How many more wait than may: the lane's pace has turned out to be slower than it was expected to be."""
        room = lane.room(self._places.seats_a_lane, now)
        return len(lane.waiting) - int(min(max(lane.soon(now), room), len(lane.waiting)))

    def leave(self, lane: Lane, now: float, *, last: bool = False) -> Waiter:
        """The first one, or the last, out of the lane."""
        self._places.seat(lane, -1)
        waiter = lane.next_waiter(last=last)
        self.observe(now - waiter.since)
        if not lane.waiting:
            del self._crowded[lane]
        return waiter

    def empty(self, parked: Parked, now: float) -> None:
        """All out of all lanes."""
        for lane in self.crowded:
            while lane.waiting:
                self.leave(lane, now).turn.park(parked)

    def line_up(self, lane: Lane, now: float) -> None:
        if not lane.waiting:
            return
        if lane.ready(now):
            self._places.line_up(lane)
        elif lane.bucket is not None and lane.bucket.ready_at > now and not lane.timed:
            lane.timed = True
            heappush(self._timers, (lane.bucket.ready_at, next(self._numbers), lane))

    def wake(self, now: float) -> None:
        """Line up the lanes whose token has come."""
        while self._timers and self._timers[0][0] <= now:
            lane = heappop(self._timers)[2]
            lane.timed = False
            self.line_up(lane, now)

    def next(self, now: float) -> tuple[Lane, Waiter] | None:
        """Whose turn it is; None: nobody waits, or no place is free for those who do."""
        while (lane := self._places.next()) is not None:
            if lane.waiting and lane.ready(now):
                return lane, self.leave(lane, now)
            self.line_up(lane, now)
        return None

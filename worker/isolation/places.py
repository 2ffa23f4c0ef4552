"""The places for attempts of the whole process, and the fair turns for them."""

from collections import deque

from worker.isolation.lanes import Lane


class Places:
    """Who may start, as seen from the process. `limit` is WORKER_CONCURRENCY, `half` its half.

    Nothing cuts a running POST, so slowness is held by admission. A lane is *slow* while it has an attempt
    older than SLOW_SECONDS in flight, or its last finished one took longer, or it has finished none yet.

    1. Attempts of slow lanes start only while slow lanes hold fewer than `half`.
    2. Any attempt starts only while fast + min(slow, half) < limit: when many quick lanes turn slow at once
       and so hold more than half, the surplus does not count, and quick lanes keep at least limit - half.
    3. The price: attempts in flight can exceed `limit` by as much as turned slow after its start. They never
       exceed limit + half; only there a quick lane waits for slow ones.

    Turns: lanes with a startable waiter stand in one of two rings and start one attempt at a time; when both
    rings can start, they alternate. So neither many slow lanes nor busy quick ones starve anybody.

    Who waits holds a message of the broker un-acked, so there are seats for `limit` waiters, half of them open
    to slow lanes, a quarter to any one lane, and the last quarter only to lanes with nobody waiting yet.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.half = max(1, limit // 2)
        self.seats_a_lane = max(1, limit // 4)
        self._shared_seats = limit - limit // 4
        self.fast = 0
        self.slow = 0
        self.waiting = 0
        self._slow_waiting = 0
        self._fast_ring: deque[Lane] = deque()
        self._slow_ring: deque[Lane] = deque()
        self._slow_first = False

    @property
    def in_flight(self) -> int:
        return self.fast + self.slow

    @property
    def contended(self) -> bool:
        """Whether any lane stands in line."""
        return bool(self._fast_ring or self._slow_ring)

    def free(self, lane_is_slow: bool) -> bool:
        """Whether an attempt of such a lane may start (invariants 1 to 3)."""
        fast, slow, half = self.fast, self.slow, self.half
        if slow < half:
            return fast + slow < self.limit
        return not lane_is_slow and fast + half < self.limit and fast + slow < self.limit + half

    def take(self, lane: Lane) -> None:
        lane.in_flight += 1
        if lane.slow:
            self.slow += 1
        else:
            self.fast += 1

    def give(self, lane: Lane) -> None:
        lane.in_flight -= 1
        if lane.slow:
            self.slow -= 1
        else:
            self.fast -= 1

    def reclass(self, lane: Lane) -> None:
        """The lane turned slow or quick: what it holds changes sides."""
        sign = 1 if lane.slow else -1
        self.slow += sign * lane.in_flight
        self.fast -= sign * lane.in_flight
        self._slow_waiting += sign * len(lane.waiting)

    def has_seat(self, lane: Lane) -> bool:
        """Whether one more may wait in this lane."""
        if self.waiting >= (self._shared_seats if lane.waiting else self.limit):
            return False
        if lane.slow and self._slow_waiting >= self.half:
            return False
        return len(lane.waiting) < lane.room(self.seats_a_lane)

    def seat(self, lane: Lane, change: int) -> None:
        """`change` more (or fewer) wait in this lane."""
        self.waiting += change
        if lane.slow:
            self._slow_waiting += change

    def line_up(self, lane: Lane) -> None:
        """The lane has a waiter that it could start: it gets its turn (once in line)."""
        if not lane.in_line:
            lane.in_line = True
            (self._slow_ring if lane.slow else self._fast_ring).append(lane)

    def next(self) -> Lane | None:
        """The lane whose turn it is, out of the line; None: no turn can be given now."""
        self._slow_first = not self._slow_first
        rings = (self._slow_ring, self._fast_ring) if self._slow_first else (self._fast_ring, self._slow_ring)
        # The first ring once more: lanes that changed class while they stood in the second have joined it.
        return self._from(rings[0]) or self._from(rings[1]) or self._from(rings[0])

    def _from(self, ring: deque[Lane]) -> Lane | None:
        slow = ring is self._slow_ring
        while ring and self.free(slow):
            lane = ring.popleft()
            lane.in_line = False
            if lane.slow is slow:
                return lane
            self.line_up(lane)
        return None

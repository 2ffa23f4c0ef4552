"""How the process is shared between lanes: places for attempts, seats for waiting deliveries, and fair turns."""

from collections import OrderedDict

from worker.admission.lanes import NEW, QUICK, SLOW, Lane, Pool
from worker.admission.seats import room, soon

_ORDERS: tuple[tuple[Pool, ...], ...] = (
    (QUICK, NEW, SLOW),
    (NEW, SLOW, QUICK),
    (SLOW, QUICK, NEW),
)


class Places:
    """Decides whether an attempt may start and a delivery may wait, as far as the process is concerned.

    `limit` is WORKER_CONCURRENCY, `half` its half. A running POST is never cut to make room, so slow endpoints can be
    held back at admission alone: by the pool that their lane is in.

    1. SLOW and NEW lanes start only while they have fewer than `half` in flight together, SLOW ones only while they
       have fewer than three quarters of that: the rest is left to endpoints that have not shown their pace yet.
    2. Any attempt starts only while quick + min(slow + new, half) < limit: when many quick lanes turn slow at
       once and so have more than half, the surplus does not count, and quick lanes keep at least limit - half.
    3. Trade-off: attempts in flight can exceed `limit` by as many as turned slow after their start. They never
       exceed limit + half; only there a quick lane waits for slow ones.

    A waiting delivery holds an un-acked message, so there are `limit` seats: half of them open to SLOW lanes, a
    quarter to any one lane, and the last quarter only to QUICK lanes in which no delivery waits yet. A delivery that
    should start within SOON_SECONDS may take any free seat: parking it would hold its message just as long. QUICK
    lanes may use twice as many for that.

    Turns: lanes with a delivery that could start stand in the ring of their pool and start one attempt at a time;
    the rings take turns too. So neither many slow lanes nor busy quick ones starve another.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.half = max(1, limit // 2)
        self.slow_limit = max(1, self.half - self.half // 4)
        self.seats_a_lane = max(1, limit // 4)
        self._shared_seats = max(1, limit - limit // 4)
        self.in_flight = 0
        self.waiting = 0
        self.in_flight_by_pool = [0 for _ in Pool]
        self.slow_waiting = 0
        self._rings: list[OrderedDict[Lane, None]] = [OrderedDict() for _ in Pool]
        self.lined_up = 0  # lanes in the rings together
        self._first = 0

    def free(self, pool: Pool) -> bool:
        """Whether an attempt of such a lane may start (invariants 1 to 3)."""
        quick = self.in_flight_by_pool[QUICK]
        unproven = self.in_flight - quick
        if unproven >= self.half:
            return pool is QUICK and quick + self.half < self.limit and self._below_ceiling
        if pool is SLOW and self.in_flight_by_pool[pool] >= self.slow_limit:
            return False
        return self.in_flight < self.limit

    def take(self, lane: Lane) -> None:
        """An attempt of this lane starts."""
        self.in_flight += 1
        self.in_flight_by_pool[lane.pool] += 1

    def give(self, lane: Lane) -> None:
        """An attempt of this lane has ended."""
        self.in_flight -= 1
        self.in_flight_by_pool[lane.pool] -= 1

    def has_seat(self, lane: Lane, now: float) -> bool:
        """Whether one more delivery may wait in this lane."""
        if len(lane.waiting) < soon(lane, now) and self.waiting < self.limit * (1 + (lane.pool is QUICK)):
            return True
        reserve = lane.pool is QUICK and not lane.waiting
        if self.waiting >= (self.limit if reserve else self._shared_seats):
            return False
        if lane.pool is SLOW and self.slow_waiting >= self.half:
            return False
        return len(lane.waiting) < room(lane, self.seats_a_lane, now)

    def seat(self, lane: Lane, change: int) -> None:
        """`change` more (or fewer) deliveries wait in this lane."""
        self.waiting += change
        if lane.pool is SLOW:
            self.slow_waiting += change

    def reclass(self, lane: Lane, pool: Pool) -> None:
        """The lane changes its pool, with all that it holds."""
        in_line = lane in self._rings[lane.pool]
        if in_line:
            # At once: left in the ring of the slow, a lane that has become quick would wait for slow places.
            del self._rings[lane.pool][lane]
            self.lined_up -= 1
        if SLOW in (lane.pool, pool):
            self.slow_waiting += len(lane.waiting) if pool is SLOW else -len(lane.waiting)
        self.in_flight_by_pool[lane.pool] -= lane.in_flight
        self.in_flight_by_pool[pool] += lane.in_flight
        lane.join(pool)
        if in_line:
            self.line_up(lane)

    def line_up(self, lane: Lane) -> None:
        """A delivery that waits in the lane could start: the lane gets a turn. It stands in line once, however many."""
        ring = self._rings[lane.pool]
        if lane not in ring:
            self.lined_up += 1
            ring[lane] = None

    def next(self) -> Lane | None:
        """The lane whose turn it is, out of the line; None: no turn can be given now."""
        self._first = (self._first + 1) % len(_ORDERS)
        for pool in _ORDERS[self._first]:
            if self._rings[pool] and self.free(pool):
                self.lined_up -= 1
                return self._rings[pool].popitem(last=False)[0]
        return None

    @property
    def _below_ceiling(self) -> bool:
        return self.in_flight < self.limit + self.half

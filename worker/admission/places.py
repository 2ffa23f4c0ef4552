"""The places for attempts of the whole process, the seats for who waits, and the fair turns between lanes."""

from collections import deque

from worker.admission.lanes import Lane, Pool

_ORDERS: tuple[tuple[Pool, ...], ...] = (
    (Pool.QUICK, Pool.NEW, Pool.SLOW),
    (Pool.NEW, Pool.SLOW, Pool.QUICK),
    (Pool.SLOW, Pool.QUICK, Pool.NEW),
)


class Places:
    """Who may start or wait, as seen from the process. `limit` is WORKER_CONCURRENCY, `half` its half.

    Nothing cuts a running POST, so slowness is held by admission: by the pool that the lane is in.

    1. SLOW and NEW lanes start only while they hold fewer than `half` together, SLOW ones only while they
       hold fewer than three quarters of that: what is slow for long leaves places for who has yet to show.
    2. Any attempt starts only while quick + min(slow + new, half) < limit: when many quick lanes turn slow at
       once and so hold more than half, the surplus does not count, and quick lanes keep at least limit - half.
    3. The price: attempts in flight can exceed `limit` by as much as turned slow after its start. They never
       exceed limit + half; only there a quick lane waits for slow ones.

    Who waits holds a message of the broker un-acked, so there are seats for `limit` waiters, half of them open
    to SLOW lanes, a quarter to any one lane, and the last quarter only to QUICK lanes with nobody waiting yet.
    Who is expected to start very soon holds his message no longer than parking would: any seat, and for QUICK
    lanes as many again.

    Turns: lanes with a startable waiter stand in the ring of their pool and start one attempt at a time; the
    rings take turns too. So neither many slow lanes nor busy quick ones starve anybody.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.half = max(1, limit // 2)
        self.slow_limit = max(1, self.half - self.half // 4)
        self.seats_a_lane = max(1, limit // 4)
        self._shared_seats = max(1, limit - limit // 4)
        self.in_flight = 0
        self.waiting = 0
        self.held = [0 for _ in Pool]  # attempts in flight, by pool
        self.slow_waiting = 0
        self._rings: list[deque[Lane]] = [deque() for _ in Pool]
        self._lined_up = 0
        self._first = 0

    @property
    def contended(self) -> bool:
        """Whether any lane stands in line."""
        return self._lined_up > 0

    def free(self, pool: Pool) -> bool:
        """Whether an attempt of such a lane may start (invariants 1 to 3)."""
        quick = self.held[Pool.QUICK]
        unproven = self.in_flight - quick
        if unproven >= self.half:
            return pool is Pool.QUICK and quick + self.half < self.limit and self._below_ceiling
        if pool is Pool.SLOW and self.held[pool] >= self.slow_limit:
            return False
        return self.in_flight < self.limit

    def take(self, lane: Lane) -> None:
        lane.in_flight += 1
        self.in_flight += 1
        self.held[lane.pool] += 1

    def give(self, lane: Lane) -> None:
        lane.in_flight -= 1
        self.in_flight -= 1
        self.held[lane.pool] -= 1

    def has_seat(self, lane: Lane, now: float) -> bool:
        """Whether one more may wait in this lane."""
        if len(lane.waiting) < lane.soon(now) and self.waiting < self.limit * (1 + (lane.pool is Pool.QUICK)):
            return True
        reserve = lane.pool is Pool.QUICK and not lane.waiting
        if self.waiting >= (self.limit if reserve else self._shared_seats):
            return False
        if lane.pool is Pool.SLOW and self.slow_waiting >= self.half:
            return False
        return len(lane.waiting) < lane.room(self.seats_a_lane, now)

    def seat(self, lane: Lane, change: int) -> None:
        """`change` more (or fewer) wait in this lane."""
        self.waiting += change
        if lane.pool is Pool.SLOW:
            self.slow_waiting += change

    def reclass(self, lane: Lane, pool: Pool) -> None:
        """The lane changes its pool, with all that it holds."""
        in_line = lane.in_line
        if in_line:
            # At once: left in the ring of the slow, a lane that has become quick would wait for slow places.
            self._rings[lane.pool].remove(lane)
            self._step_out(lane)
        if Pool.SLOW in (lane.pool, pool):
            self.slow_waiting += len(lane.waiting) if pool is Pool.SLOW else -len(lane.waiting)
        self.held[lane.pool] -= lane.in_flight
        self.held[pool] += lane.in_flight
        lane.pool = pool
        if in_line:
            self.line_up(lane)

    def line_up(self, lane: Lane) -> None:
        """The lane has a waiter that it could start: it gets its turn (once in line)."""
        if not lane.in_line:
            lane.in_line = True
            self._lined_up += 1
            self._rings[lane.pool].append(lane)

    def next(self) -> Lane | None:
        """The lane whose turn it is, out of the line; None: no turn can be given now."""
        self._first = (self._first + 1) % len(_ORDERS)
        for pool in _ORDERS[self._first]:
            if self._rings[pool] and self.free(pool):
                lane = self._rings[pool].popleft()
                self._step_out(lane)
                return lane
        return None

    @property
    def _below_ceiling(self) -> bool:
        return self.in_flight < self.limit + self.half

    def _step_out(self, lane: Lane) -> None:
        lane.in_line = False
        self._lined_up -= 1

"""Decides when each delivery is attempted: a lane, breaker and rate for each endpoint, places and turns for all."""

from collections.abc import Callable

from worker.admission.attempts import Attempt, Attempts
from worker.admission.breaker import ALIVE, DEFERRED, FAILED, BreakerRules, health_of
from worker.admission.lanes import SLOW, Lane, Waiter
from worker.admission.parking import LONGEST_WAIT, ParkingRules
from worker.admission.places import Places
from worker.admission.registry import Caps, Registry
from worker.admission.self_fault import OURS_PERHAPS, SelfFaultGuard
from worker.admission.waiting import WaitingRoom
from worker.basics.clock import Clock
from worker.delivery.ports import STARTED, WAITS, Admitted, Turn
from worker.domain.backoff import LONGEST_DELAY, Schedule
from worker.domain.outcome import Parked, ParkReason
from worker.domain.routing import Delivery
from worker.domain.verdict import Answered, Failure, Result


class EndpointAdmission:
    """Decides for each delivery whether its attempt starts, waits or is parked.

    Implements ports.Admission for one event loop: no I/O, no tasks, every call returns at once.
    `tick` must be called every quarter of a second and at `next_wake`. `monotonic` and `now` (Unix time) are
    in seconds. `on_self_fault(True | False)` is called once for each change.
    """

    def __init__(
        self,
        caps: Caps,
        rules: BreakerRules,
        schedule: Schedule,
        *,
        monotonic: Clock,
        now: Clock,
        on_self_fault: Callable[[bool], None],
        self_fault_window: float = 30.0,
    ) -> None:
        self._monotonic = monotonic
        self._on_self_fault = on_self_fault
        self._registry = Registry(caps, rules, self._acquit)
        self._places = Places(caps.process)
        self._room = WaitingRoom(self._places)
        self._parking = ParkingRules(schedule, self._places, now)
        self._guard = SelfFaultGuard(self_fault_window)
        self._attempts = Attempts()
        self._open: dict[Lane, None] = {}  # lanes whose circuit is not closed
        self._draining = False

    def admit(self, delivery: Delivery, turn: Turn) -> Admitted | Parked:
        if self._draining:
            return Parked(ParkReason.SHUTDOWN)
        now = self._monotonic()
        lane = self._registry.lane(delivery.webhook, now)
        startable = not lane.waiting and lane.ready(now) and self._places.free(lane.pool)
        if self._guard.frozen_at is not None and not (startable and self._guard.may_probe(delivery.target.place, now)):
            return self.self_fault_parking()
        if startable:
            self._start(lane, delivery, turn, now)
            return STARTED
        parked = self._parking.of(lane, delivery, now)
        if parked is not None:
            return parked
        self._room.enter(lane, Waiter(now, delivery, turn), now)
        return WAITS

    def finished(self, delivery: Delivery, result: Result, seconds: float) -> Parked | None:
        """`delivery` is the object that was admitted. Parked: no receiver can be reached, nothing is charged."""
        now = self._monotonic()
        attempt = self._end(delivery)
        lane = attempt.lane
        lane.completed(seconds if _tells_pace(result) else max(seconds, lane.latency), now)
        self._learn(attempt, result, now)
        self._free(lane, now)
        if self._guard.frozen_at is None or isinstance(result, Answered) or result.failure is Failure.REFUSED:
            return None
        return self.self_fault_parking()

    def released(self, delivery: Delivery) -> None:
        now = self._monotonic()
        attempt = self._end(delivery)
        attempt.lane.breaker.released(attempt.epoch, now)
        self._free(attempt.lane, now)

    def tick(self) -> None:
        """Acts on what time alone brings: tokens, attempts that grow old, waits that grew too long, idle lanes."""
        now = self._monotonic()
        for lane in self._attempts.grown_old(now):
            self._reclass(lane)
        self._room.wake(now)
        self._dispatch(now)
        for lane in self._room.crowded:
            self._send_away(lane, now)
        for lane in self._registry.evict(now):
            self._open.pop(lane, None)

    def next_wake(self) -> float | None:
        """The monotonic time at which a waiting delivery's token comes."""
        return self._room.next_wake

    def on_sooner(self, call: Callable[[], object]) -> None:
        """`call` is called when `next_wake` has come nearer."""
        self._room.on_sooner = call

    def drain(self) -> None:
        """Shutdown: parks every delivery that waits and each that comes from now on. Attempts in flight go on."""
        self._draining = True
        self._room.empty(Parked(ParkReason.SHUTDOWN), self._monotonic())

    def observe_waits(self, observe: Callable[[float], object]) -> None:
        """`observe` is called with the seconds that a delivery waited, when it is started or parked after that."""
        self._room.observe = observe

    @property
    def frozen(self) -> bool:
        """Whether no receiver can be reached, so that the fault is the worker's own (self_fault.py)."""
        return self._guard.frozen_at is not None

    def self_fault_parking(self) -> Parked:
        frozen_at = self._guard.frozen_at
        now = self._monotonic()
        return self._parking.self_fault(0.0 if frozen_at is None else now - frozen_at)

    @property
    def share(self) -> float:
        """This process's part of every rate limit: 1 / number of consumers."""
        return self._registry.share

    @share.setter
    def share(self, share: float) -> None:
        self._registry.share = share
        now = self._monotonic()
        for lane in self._room.crowded:
            lane.limit_rate(share, now)
            self._room.line_up(lane, now)
        self._dispatch(now)

    @property
    def in_flight(self) -> int:
        return self._places.in_flight

    @property
    def waiting(self) -> int:
        return self._places.waiting

    @property
    def endpoints_open(self) -> int:
        return len(self._open)

    @property
    def open_longest(self) -> float:
        """Seconds since the circuit opened that has been open for the longest time, canaries included; 0 if none is."""
        longest = next(iter(self._open), None)
        return 0.0 if longest is None else self._monotonic() - longest.breaker.opened_at

    @property
    def lanes(self) -> int:
        return len(self._registry)

    def _start(self, lane: Lane, delivery: Delivery, turn: Turn, now: float) -> None:
        attempt = Attempt(lane, delivery, now, lane.breaker.started())
        self._attempts.add(attempt)
        self._places.take(lane)
        lane.start(now)
        if self._guard.frozen_at is not None:
            self._guard.started(attempt, delivery.target.place, now)
        turn.start()

    def _end(self, delivery: Delivery) -> Attempt:
        attempt = self._attempts.remove(delivery)
        self._places.give(attempt.lane)
        if self._guard.frozen_at is not None:
            self._guard.ended(attempt)
        return attempt

    def _free(self, lane: Lane, now: float) -> None:
        """An attempt of this lane has ended: its place goes to this lane, or to another."""
        self._reclass(lane)
        if lane.waiting:
            if not self._places.lined_up and lane.ready(now) and self._places.free(lane.pool):
                # No other lane stands in line, by far the commonest case: past the rings.
                waiter = self._room.leave(lane, now)
                self._start(lane, waiter.delivery, waiter.turn, now)
            self._room.line_up(lane, now)
        if self._places.lined_up:
            self._dispatch(now)

    def _learn(self, attempt: Attempt, result: Result, now: float) -> None:
        lane = attempt.lane
        if isinstance(result, Answered):
            if self._guard.answered(now):
                self._forgive()
                self._on_self_fault(False)
        elif result.failure in OURS_PERHAPS and self._guard.failed(attempt.delivery.target.place, now):
            self._room.empty(self.self_fault_parking(), now)
            self._on_self_fault(True)
        if self._guard.frozen_at is not None:
            lane.breaker.released(attempt.epoch, now)
            return
        health = health_of(result)
        if health is ALIVE:
            if lane.succeeded(attempt.epoch, now):
                self._reopen(lane)
        elif health is FAILED:
            lane.failed(attempt.started, now)
            if lane.own_breaker().failed(attempt.epoch, now):
                self._open[lane] = None
                self._empty(lane, now)
        elif health is DEFERRED:
            assert isinstance(result, Answered)
            self._defer(attempt, result.retry_after or 0.0, now)
        else:
            lane.breaker.released(attempt.epoch, now)

    def _defer(self, attempt: Attempt, seconds: float, now: float) -> None:
        lane = attempt.lane
        lane.failed(attempt.started, now)
        lane.breaker.deferred(attempt.epoch, now)
        lane.defer(now + min(seconds, LONGEST_DELAY))
        self._empty(lane, now)

    def _forgive(self) -> None:
        """Closes the circuits that opened while no receiver answered: that was the worker's own fault."""
        for lane in [lane for lane in self._open if lane.breaker.opened_at > self._guard.silent_since]:
            lane.breaker.reset()
            self._reopen(lane)

    def _reopen(self, lane: Lane) -> None:
        lane.reopen()
        self._open.pop(lane, None)

    def _acquit(self, lane: Lane) -> None:
        lane.acquit()
        self._open.pop(lane, None)

    def _reclass(self, lane: Lane) -> None:
        pool = SLOW if lane.old else lane.last_pool
        if pool is not lane.pool:
            self._places.reclass(lane, pool)

    def _dispatch(self, now: float) -> None:
        while (turn := self._room.next(now)) is not None:
            lane, waiter = turn
            self._start(lane, waiter.delivery, waiter.turn, now)
            self._room.line_up(lane, now)

    def _send_away(self, lane: Lane, now: float) -> None:
        """Parks what has waited too long, and what came last to a lane that is slower than expected."""
        while lane.waiting and now - lane.waiting[0].since > LONGEST_WAIT:
            parked = self._parking.sent_away(lane, lane.waiting[0].delivery, now)
            self._room.leave(lane, now).turn.park(parked)
        for _ in range(self._room.surplus(lane, now)):
            self._room.leave(lane, now, last=True).turn.park(self._parking.busy(lane, now))

    def _empty(self, lane: Lane, now: float) -> None:
        """Parks what waits in the lane: its endpoint asked to wait (Retry-After), or its circuit is open."""
        while lane.waiting:
            parked = self._parking.sent_away(lane, lane.waiting[0].delivery, now)
            self._room.leave(lane, now).turn.park(parked)


def _tells_pace(result: Result) -> bool:
    """Whether the attempt's duration says how fast the endpoint is.

    A connect that fails at once does not: the next one may wait for the receiver to come back.
    """
    return isinstance(result, Answered) or result.failure not in OURS_PERHAPS

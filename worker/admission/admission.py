"""Admission of deliveries: one lane, breaker and rate for each endpoint, places and turns for all of them."""

from collections.abc import Callable

from worker.admission.attempts import Attempt, Attempts
from worker.admission.breaker import BreakerRules, Health, health_of
from worker.admission.lanes import SLOW_SECONDS, Lane, Pool, Waiter
from worker.admission.parking import LONGEST_WAIT, Refusals
from worker.admission.places import Places
from worker.admission.registry import Caps, Registry
from worker.admission.self_fault import OURS_PERHAPS, SelfFaultGuard
from worker.admission.waiting import WaitingRoom
from worker.basics.clock import Clock
from worker.delivery.ports import Turn
from worker.domain.backoff import LONGEST_HOLD, Schedule
from worker.domain.outcome import Parked, Reason
from worker.domain.routing import Delivery
from worker.domain.verdict import Answered, Failure, Result, Unanswered


class EndpointIsolation:
    """Implements ports.Isolation for one event loop: no I/O, no tasks, every call returns at once.

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
        self._refusals = Refusals(schedule, self._places, now)
        self._guard = SelfFaultGuard(self_fault_window)
        self._attempts = Attempts()
        self._open: dict[Lane, None] = {}  # lanes whose circuit is not closed
        self._draining = False

    def admit(self, delivery: Delivery, turn: Turn) -> Parked | None:
        if self._draining:
            return Parked(Reason.SHUTDOWN)
        now = self._monotonic()
        lane = self._registry.lane(delivery.webhook, now)
        startable = not lane.waiting and lane.ready(now) and self._places.free(lane.pool)
        if self._guard.frozen_at is not None and not (startable and self._guard.may_probe(delivery.target.place, now)):
            return self.self_fault_parking()
        if startable:
            self._start(lane, delivery, turn, now)
            return None
        refusal = self._refusals.of(lane, delivery, now)
        if refusal is None:
            self._room.enter(lane, Waiter(now, delivery, turn), now)
        return refusal

    def finished(self, delivery: Delivery, result: Result, seconds: float) -> Parked | None:
        """`delivery` is the object that was admitted. Parked: the fault is ours, the attempt is not charged."""
        now = self._monotonic()
        attempt = self._end(delivery)
        lane = attempt.lane
        lane.completed(seconds if _tells_pace(result) else max(seconds, lane.latency), now)
        self._learn(attempt, result, now)
        self._free(lane, now)
        ours = self.frozen and isinstance(result, Unanswered) and result.failure is not Failure.REFUSED
        return self.self_fault_parking() if ours else None

    def released(self, delivery: Delivery) -> None:
        now = self._monotonic()
        attempt = self._end(delivery)
        attempt.lane.breaker.released(attempt.epoch, now)
        self._free(attempt.lane, now)

    def tick(self) -> None:
        """What time alone brings: tokens, old attempts, waits that grew too long, lanes to forget."""
        now = self._monotonic()
        for lane in self._attempts.grown_old(now):
            lane.latency = max(lane.latency, SLOW_SECONDS)
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

    def drain(self) -> None:
        """Shutdown: nothing waits any more, nothing is admitted. What is in flight goes on."""
        self._draining = True
        self._room.empty(Parked(Reason.SHUTDOWN), self._monotonic())

    def observe_waits(self, observe: Callable[[float], object]) -> None:
        """`observe` hears how many seconds each one waited that could not start at once, started or parked."""
        self._room.observe = observe

    @property
    def frozen(self) -> bool:
        """Whether the fault is ours."""
        return self._guard.frozen_at is not None

    def self_fault_parking(self) -> Parked:
        frozen_at = self._guard.frozen_at
        now = self._monotonic()
        return self._refusals.self_fault(0.0 if frozen_at is None else now - frozen_at)

    @property
    def share(self) -> float:
        """This process's part of every rate limit: 1 / number of consumers."""
        return self._registry.share

    @share.setter
    def share(self, share: float) -> None:
        self._registry.share = share
        now = self._monotonic()
        for lane in self._room.crowded:
            self._registry.limit_rate(lane, now)
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
        if not lane.in_flight:
            lane.last_used = now
        self._places.take(lane)
        if lane.bucket is not None:
            lane.bucket.take(now)
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
        """A place of this lane is free again: for itself or for another."""
        self._reclass(lane)
        if lane.waiting:
            if not self._places.contended and lane.ready(now) and self._places.free(lane.pool):
                # Nobody else's turn, by far the commonest case: past the rings.
                waiter = self._room.leave(lane, now)
                self._start(lane, waiter.delivery, waiter.turn, now)
            self._room.line_up(lane, now)
        if self._places.contended:
            self._dispatch(now)

    def _learn(self, attempt: Attempt, result: Result, now: float) -> None:
        lane, breaker = attempt.lane, attempt.lane.breaker
        if isinstance(result, Answered):
            if self._guard.answered(now):
                self._forgive()
                self._on_self_fault(False)
        elif result.failure in OURS_PERHAPS and self._guard.failed(attempt.delivery.target.place, now):
            self._room.empty(self.self_fault_parking(), now)
            self._on_self_fault(True)
        if self._guard.frozen_at is not None:
            breaker.released(attempt.epoch, now)
            return
        match health_of(result):
            case Health.ALIVE:
                lane.succeeded()
                if breaker.succeeded(attempt.epoch, now):
                    self._reopen(lane)
            case Health.FAILED:
                lane.failed(attempt.started, now)
                if breaker.failed(attempt.epoch, now):
                    self._open[lane] = None
                    self._empty(lane, now)
            case Health.HELD:
                assert isinstance(result, Answered)
                self._hold(attempt, result.retry_after or 0.0, now)
            case Health.UNKNOWN:
                breaker.released(attempt.epoch, now)

    def _hold(self, attempt: Attempt, seconds: float, now: float) -> None:
        lane = attempt.lane
        lane.failed(attempt.started, now)
        lane.breaker.held(attempt.epoch, now)
        lane.held_until = max(lane.held_until, now + min(seconds, LONGEST_HOLD))
        self._empty(lane, now)

    def _forgive(self) -> None:
        """What opened while nobody answered was our fault."""
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
        pool = Pool.SLOW if lane.old else lane.last_pool
        if pool is not lane.pool:
            self._places.reclass(lane, pool)

    def _dispatch(self, now: float) -> None:
        while (turn := self._room.next(now)) is not None:
            lane, waiter = turn
            self._start(lane, waiter.delivery, waiter.turn, now)
            self._room.line_up(lane, now)

    def _send_away(self, lane: Lane, now: float) -> None:
        """Who has waited too long, and who came last to a lane that is slower than expected."""
        while lane.waiting and now - lane.waiting[0].since > LONGEST_WAIT:
            parked = self._refusals.sent_away(lane, lane.waiting[0].delivery, now)
            self._room.leave(lane, now).turn.park(parked)
        for _ in range(self._room.surplus(lane, now)):
            self._room.leave(lane, now, last=True).turn.park(self._refusals.busy(lane, now))

    def _empty(self, lane: Lane, now: float) -> None:
        """The endpoint is held or its circuit open: nobody waits in its lane."""
        while lane.waiting:
            parked = self._refusals.sent_away(lane, lane.waiting[0].delivery, now)
            self._room.leave(lane, now).turn.park(parked)


def _tells_pace(result: Result) -> bool:
    """A connect that fails at once does not: the next one may wait for the receiver to come back."""
    return isinstance(result, Answered) or result.failure not in OURS_PERHAPS

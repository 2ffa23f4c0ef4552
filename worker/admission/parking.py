"""Decides why a delivery is parked instead of waiting in its lane, and for how long."""

from worker.admission.breaker import State
from worker.admission.lanes import Lane, Pool
from worker.admission.places import Places
from worker.admission.seats import ROOM_SECONDS
from worker.basics.clock import Clock
from worker.domain.backoff import Schedule, circuit_open_delay
from worker.domain.outcome import Parked, ParkReason
from worker.domain.routing import Delivery

LONGEST_WAIT = 5.0
"""Seconds in a lane's waiting room, as long as the shortest delay queue: beyond it, parking is no worse."""

SLOW_DELAY_SECONDS = 135.0
"""Because of an endpoint that hangs, no delivery is parked for longer than the delay queue that covers this: the pace
of a hanging endpoint says nothing of the moment when it is well again."""

CANARY_SECONDS = 45.0
"""While a canary (the one attempt that probes behind an open circuit) is in flight, its result is near: no delivery is
parked for longer than the delay queue that covers this."""


class ParkingRules:
    """Why a delivery may not wait in its lane, and the delay queue that it goes to instead.

    The rows of `of` stand in the order in which they are asked.

    | reason | when | delay covers |
    | --- | --- | --- |
    | retry_after | the endpoint asked to wait (Retry-After) | the rest of that time |
    | circuit_open | open | the rest of the open time, or a tenth of the delivery's age |
    | circuit_open | a canary is out or waits for its place | a tenth of the age, 45 s at most |
    | rate_limited | its token is not due shortly | its turn among all that is parked |
    | endpoint_busy | the waiting room is full | its turn among all that is parked |
    """

    def __init__(self, schedule: Schedule, places: Places, now: Clock) -> None:
        self._schedule = schedule
        self._places = places
        self._now = now

    def of(self, lane: Lane, delivery: Delivery, now: float) -> Parked | None:
        """Why a delivery is parked and for how long; None if it may wait in the lane."""
        if now < lane.deferred_until:
            return self.deferred(lane, now)
        state = lane.breaker.state
        if state is not State.CLOSED and (lane.waiting or not lane.breaker.permits(now)):
            return self.circuit_open(lane, delivery, now)
        if lane.bucket is not None:
            wait = lane.bucket.wait(now, len(lane.waiting))
            if wait > (ROOM_SECONDS if lane.waiting else LONGEST_WAIT):
                return self.busy(lane, now)
        return None if self._places.has_seat(lane, now) else self.busy(lane, now)

    def sent_away(self, lane: Lane, delivery: Delivery, now: float) -> Parked:
        """The parking of a delivery that waited and shall not wait longer."""
        return self.of(lane, delivery, now) or self.busy(lane, now)

    def deferred(self, lane: Lane, now: float) -> Parked:
        return Parked(ParkReason.RETRY_AFTER, self._schedule.covering(lane.deferred_until - now))

    def circuit_open(self, lane: Lane, delivery: Delivery, now: float) -> Parked:
        delay = circuit_open_delay(self._now() - delivery.past.set_out)
        remaining = lane.breaker.open_until - now
        if lane.breaker.state is State.OPEN and remaining > 0:
            return Parked(ParkReason.CIRCUIT_OPEN, self._schedule.covering(max(remaining, delay)))
        return Parked(ParkReason.CIRCUIT_OPEN, self._schedule.covering(min(CANARY_SECONDS, delay)))

    def busy(self, lane: Lane, now: float) -> Parked:
        ahead = float(len(lane.waiting) + lane.in_flight)
        reason, wait = ParkReason.ENDPOINT_BUSY, 0.0
        if lane.bucket is not None and (wait := lane.bucket.wait(now, len(lane.waiting))) > 0:
            reason = ParkReason.RATE_LIMITED
            ahead = max(ahead, wait * lane.rate)
        if reason is ParkReason.ENDPOINT_BUSY and lane.pool is Pool.NEW:
            return Parked(reason, self._schedule.covering(0))  # it has shown no pace yet, and will have by then
        step = lane.park(now, ahead, self._schedule)
        if lane.pool is Pool.SLOW:
            step = min(step, self._schedule.covering(SLOW_DELAY_SECONDS))
        return Parked(reason, step, free_in=max(wait, 0.0))

    def self_fault(self, seconds: float) -> Parked:
        """No receiver has been reached for `seconds`: parked for a tenth of that, as behind an open circuit."""
        return Parked(ParkReason.SELF_FAULT, self._schedule.covering(circuit_open_delay(seconds)))

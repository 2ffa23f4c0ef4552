"""Everything together: arrivals, results and time in any order (Hypothesis), against what admission promises."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.admission.world import BROKEN, NO_CONNECT, OK, SCHEDULE, TICK, TIMEOUT, Ticket, World, webhook
from worker.admission.breaker import BreakerRules, State
from worker.admission.lanes import SLOW_SECONDS, Pool
from worker.admission.parking import LONGEST_WAIT
from worker.admission.registry import Caps
from worker.admission.seats import soon
from worker.domain.outcome import ParkReason
from worker.domain.verdict import Answered, Failure, Result, Unanswered
from worker.domain.webhook import RateLimit

PROCESS, HALF, CAP = 8, 4, 5
RESULTS = [OK, OK, OK, BROKEN, TIMEOUT, NO_CONNECT, Answered(404), Answered(429, retry_after=7)]
REFUSED = Unanswered(Failure.REFUSED, "private address")
WEBHOOKS = [
    webhook("a"),
    webhook("b"),
    webhook("c"),
    webhook("d"),
    webhook("single", concurrency=1),
    webhook("paced", rate_limit=RateLimit(2, 2)),
    webhook("trickle", rate_limit=RateLimit(0.05, 1)),
]
PARKINGS = {
    ParkReason.ENDPOINT_BUSY,
    ParkReason.CIRCUIT_OPEN,
    ParkReason.RETRY_AFTER,
    ParkReason.RATE_LIMITED,
    ParkReason.SELF_FAULT,
}


class AdmissionMachine(RuleBasedStateMachine):
    """`before` is what the places looked like when an attempt started: starts are checked, not only states."""

    @initialize()
    def build(self) -> None:
        caps = Caps(PROCESS, CAP, PROCESS)
        self.world = World(caps, BreakerRules(failures=3, min_requests=6))
        self.starts: list[tuple[str, float]] = []
        self._watch_starts()

    def _watch_starts(self) -> None:
        places, take = self.world.admission._places, self.world.admission._places.take

        def watched(lane):
            quick, new, slow = places.in_flight_by_pool
            assert quick + min(new + slow, HALF) < PROCESS
            assert lane.pool is Pool.QUICK or new + slow < HALF
            assert lane.pool is not Pool.SLOW or slow < HALF - HALF // 4
            assert lane.in_flight < lane.cap
            assert self.world.clock >= lane.deferred_until
            assert lane.breaker.state is not State.OPEN
            self.starts.append((lane.webhook.instance, self.world.clock))
            take(lane)

        places.take = watched

    @rule(to=st.sampled_from(WEBHOOKS), count=st.integers(1, 12), age=st.sampled_from([0.0, 600.0, 80_000.0]))
    def arrive(self, to, count: int, age: float) -> None:
        for _ in range(count):
            parked = self.world.arrive(to, age).parked
            if parked is not None and parked.reason is ParkReason.CIRCUIT_OPEN:
                assert parked.delay >= min(SCHEDULE.covering(age / 10), 45), "it would spin"

    @precondition(lambda self: self.world.running)
    @rule(pick=st.integers(0), result=st.sampled_from([*RESULTS, REFUSED]))
    def finish(self, pick: int, result: Result) -> None:
        self.world.finish(self.world.running[pick % len(self.world.running)], result)

    @precondition(lambda self: self.world.running)
    @rule(to=st.sampled_from(WEBHOOKS), result=st.sampled_from(RESULTS))
    def finish_all_of(self, to, result: Result) -> None:
        for ticket in [found for found in self.world.running if found.delivery.webhook == to]:
            self.world.finish(ticket, result)

    @precondition(lambda self: self.world.running)
    @rule(pick=st.integers(0))
    def release(self, pick: int) -> None:
        ticket = self.world.running.pop(pick % len(self.world.running))
        self.world.admission.released(ticket.delivery)

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 2.1, 6.0, 31.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(share=st.sampled_from([0.25, 0.5, 1.0]))
    def replicas_come_and_go(self, share: float) -> None:
        self.world.admission.share = share

    @invariant()
    def everybody_hears_once(self) -> None:
        for ticket in self.world.tickets:
            assert ticket.heard <= 1

    @invariant()
    def the_parked_were_never_attempted(self) -> None:
        for ticket in self.world.tickets:
            assert ticket.parked is None or ticket.started_at is None

    @invariant()
    def parking_is_never_for_nothing(self) -> None:
        parked = [ticket.parked for ticket in self.world.tickets if ticket.parked]
        assert all(one.delay in SCHEDULE.steps and 5 <= one.delay <= 3645 for one in parked)
        assert {one.reason for one in parked} <= PARKINGS

    @invariant()
    def gauges_tell_the_truth(self) -> None:
        admission, places = self.world.admission, self.world.admission._places
        lanes = list(admission._registry._lanes.values())
        assert admission.in_flight == len(self.world.running) == sum(lane.in_flight for lane in lanes)
        assert admission.waiting == sum(ticket.waiting for ticket in self.world.tickets)
        assert admission.waiting == sum(len(lane.waiting) for lane in lanes)
        assert places.in_flight_by_pool == [sum(lane.in_flight for lane in lanes if lane.pool is pool) for pool in Pool]
        assert places.slow_waiting == sum(len(lane.waiting) for lane in lanes if lane.pool is Pool.SLOW)
        assert admission.endpoints_open == sum(lane.breaker.state is not State.CLOSED for lane in lanes)

    @invariant()
    def what_those_without_failures_share_learns_nothing(self) -> None:
        shared = self.world.admission._registry._unfailed
        assert (shared.state, shared.epoch, shared.consecutive) == (State.CLOSED, 0, 0)
        assert shared.clean(self.world.clock)

    @invariant()
    def whoever_has_an_old_attempt_is_slow(self) -> None:
        self.world.admission.tick()
        for lane in self.world.admission._registry._lanes.values():
            mine = [one for one in self.world.running if one.delivery.webhook.endpoint == lane.webhook.endpoint]
            old = sum(self.world.clock - one.started_at > SLOW_SECONDS for one in mine)
            assert lane.old == old
            assert not old or lane.pool is Pool.SLOW

    @invariant()
    def caps_are_never_exceeded(self) -> None:
        self.world.admission.tick()
        assert self.world.admission.in_flight <= PROCESS + HALF
        assert self.world.admission.waiting <= 2 * PROCESS
        for lane in self.world.admission._registry._lanes.values():
            assert lane.in_flight <= lane.cap
            assert 1 <= lane.limit <= lane.cap
            assert len(lane.waiting) <= max(1, PROCESS // 4) or self._drains_soon(lane)

    def _drains_soon(self, lane) -> bool:
        return len(lane.waiting) <= soon(lane, self.world.clock)

    @invariant()
    def nobody_waits_longer_than_a_parking(self) -> None:
        for ticket in self.world.tickets:
            assert not ticket.waiting or self.world.clock - ticket.since <= LONGEST_WAIT + TICK

    @invariant()
    def nobody_waits_for_a_place_that_is_free(self) -> None:
        """Work conservation: a lane that may start and finds a place has no waiters after a tick."""
        admission = self.world.admission
        admission.tick()
        for lane in admission._registry._lanes.values():
            if lane.waiting:
                assert not (lane.ready(self.world.clock) and admission._places.free(lane.pool))

    @invariant()
    def a_wake_up_is_ahead_whenever_a_token_is_awaited(self) -> None:
        admission, clock = self.world.admission, self.world.clock
        wake = admission.next_wake()
        assert wake is None or wake > clock
        for lane in admission._registry._lanes.values():
            if (
                lane.waiting
                and lane.bucket is not None
                and lane.in_flight < lane.limit
                and lane.bucket.ready_at > clock
            ):
                assert wake is not None

    @invariant()
    def rates_hold_over_any_window(self) -> None:
        for to in WEBHOOKS[-2:]:
            at = [when for name, when in self.starts if name == to.instance]
            allowed, rate = to.rate_limit.burst, to.rate_limit.per_second
            for first, since in enumerate(at):
                spent = len(at) - first
                assert spent <= allowed + rate * (at[-1] - since) + 1e-6

    def teardown(self) -> None:
        """No starvation: once receivers recover, one delivery to each endpoint gets through."""
        if not hasattr(self, "world"):
            return
        for to in WEBHOOKS:
            self._gets_through(to)
        self.world.finish_all()
        self.world.advance(LONGEST_WAIT + 1)
        self.world.finish_all()
        assert self.world.admission.in_flight == self.world.admission.waiting == 0

    def _gets_through(self, to) -> None:
        for _ in range(60):
            ticket = self.world.arrive(to)
            while ticket.waiting:
                self.world.advance(0.1)
                self.world.finish_all()
            if ticket.parked is None:
                return
            self._settle(ticket)
        raise AssertionError(f"{to.instance} starves: {ticket.parked}")

    def _settle(self, ticket: Ticket) -> None:
        end = self.world.clock + ticket.parked.delay
        while self.world.clock < end:
            self.world.advance(min(5.0, end - self.world.clock))
            self.world.finish_all()


TestAdmissionMachine = AdmissionMachine.TestCase
TestAdmissionMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)

"""The circuit breaker: alone, and as deliveries meet it."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.admission.world import BROKEN, OK, TIMEOUT, World, webhook
from worker.admission.breaker import Breaker, BreakerRules, Health, State, health_of
from worker.admission.registry import Caps
from worker.admission.window import Buckets
from worker.domain.outcome import Parked, ParkReason
from worker.domain.verdict import Answered, Failure, Result, Unanswered


def breaker_of(rules: BreakerRules) -> Breaker:
    return Breaker(rules, Buckets(rules.window_seconds))


@pytest.mark.parametrize(
    ("result", "health"),
    [
        (Answered(200), Health.ALIVE),
        (Answered(302), Health.ALIVE),
        (Answered(404), Health.ALIVE),
        (Answered(410), Health.ALIVE),
        (Answered(408), Health.FAILED),
        (Answered(429), Health.FAILED),
        (Answered(500), Health.FAILED),
        (Answered(503), Health.FAILED),
        (Answered(500, retry_after=5), Health.FAILED),
        (Answered(429, retry_after=5), Health.DEFERRED),
        (Answered(503, retry_after=5), Health.DEFERRED),
        (Unanswered(Failure.TIMEOUT, ""), Health.FAILED),
        (Unanswered(Failure.CONNECT, ""), Health.FAILED),
        (Unanswered(Failure.DNS, ""), Health.FAILED),
        (Unanswered(Failure.TLS, ""), Health.FAILED),
        (Unanswered(Failure.PROXY, ""), Health.FAILED),
        (Unanswered(Failure.REFUSED, ""), Health.UNKNOWN),
    ],
)
def test_what_counts_against_an_endpoint(result: Result, health: Health) -> None:
    assert health_of(result) is health


def test_ten_failures_in_a_row_open_the_circuit_and_nine_do_not() -> None:
    world = World()
    for _ in range(9):
        world.exchange("acme", TIMEOUT)
    assert world.admission.endpoints_open == 0
    world.exchange("acme", TIMEOUT)
    assert world.admission.endpoints_open == 1


def test_every_second_answer_a_500_opens_the_circuit() -> None:
    world = World()
    for number in range(20):
        assert world.admission.endpoints_open == 0
        world.exchange("acme", BROKEN if number % 2 else OK)
    assert world.admission.endpoints_open == 1


def test_failures_of_two_minutes_ago_do_not_count() -> None:
    world = World()
    for number in range(18):
        world.exchange("acme", BROKEN if number % 2 else OK)
    world.advance(120)
    for number in range(6):
        world.exchange("acme", BROKEN if number % 2 else OK)
    assert world.admission.endpoints_open == 0


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 3.0, 9.5, 10.0, 10.5, 35.0, 60.0, 70.0]), st.booleans()), max_size=60)
)
@example([(0.0, False), (35.0, False), (0.0, False), (35.0, True), (0.0, True)])
@example([(0.0, False), *[(10.0, False)] * 5, (10.0, True), *[(0.0, True)] * 6])
@example([(0.0, False), *[(10.0, False)] * 9, (10.0, True), *[(0.0, True)] * 6])
@example([*[(0.0, False)] * 3, (60.0, True), *[(0.0, True)] * 2])
@example([*[(0.0, False)] * 3, (70.0, True), *[(0.0, True)] * 3])
def test_the_rate_is_that_of_the_last_minute_in_buckets_of_ten_seconds(steps: list[tuple[float, bool]]) -> None:
    """However rarely something comes, and before the first failure, too: against a list of all that came, with the
    bucket that it fell into."""
    world = World(rules=BreakerRules(failures=1000, min_requests=4))
    came: list[tuple[int, bool]] = []  # the number of its bucket, whether it failed
    for seconds, fails in steps:
        world.clock += seconds
        now = int(world.clock // 10)
        came.append((now, fails))
        counted = [failed for bucket, failed in came if bucket >= now - 6]
        opens = fails and len(counted) >= 4 and sum(counted) >= 0.5 * len(counted)
        world.exchange("acme", BROKEN if fails else OK, seconds=0)
        assert world.admission.endpoints_open == opens
        if opens:
            return


def test_what_one_endpoint_does_opens_no_other_circuit() -> None:
    """Those that have not failed share a breaker."""
    world = World(rules=BreakerRules(failures=5, min_requests=4))
    for name in ("one", "two", "three", "four"):
        for _ in range(4):
            world.exchange(name)
        world.exchange(name, BROKEN)
    assert world.admission.endpoints_open == 0
    for _ in range(4):
        world.exchange("two", BROKEN)
    assert world.admission.endpoints_open == 1
    assert world.arrive("two").parked is not None
    assert [world.arrive(name).parked for name in ("one", "three", "four", "five")] == [None] * 4


@pytest.mark.parametrize("failures_before", [0, 1])
def test_what_is_in_flight_to_the_old_url_does_not_count_against_the_new_one(failures_before: int) -> None:
    world = World(rules=BreakerRules(failures=2))
    for _ in range(failures_before):
        world.exchange("acme", BROKEN)
    late = [world.arrive("acme") for _ in range(2)]
    moved = replace(webhook("acme"), url="https://elsewhere.example/hook")
    assert world.arrive(moved).running
    for ticket in late:
        world.finish(ticket, BROKEN)
    assert world.admission.endpoints_open == 0
    world.exchange(moved, BROKEN)
    assert world.admission.endpoints_open == 0
    world.exchange(moved, BROKEN)
    assert world.admission.endpoints_open == 1


def test_after_a_recovery_what_came_before_counts_no_more() -> None:
    """Neither its failures, nor the requests that they were a part of."""
    world = World(rules=BreakerRules(failures=1000, min_requests=4))
    for result in [OK] * 10 + [BROKEN] * 10:
        world.exchange("acme", result, seconds=0)
    assert world.admission.endpoints_open == 1
    world.advance(31)
    world.exchange("acme", OK, seconds=0)
    for result in (OK, OK, OK, BROKEN, BROKEN):
        world.exchange("acme", result, seconds=0)
        assert world.admission.endpoints_open == 0
    world.exchange("acme", BROKEN, seconds=0)
    assert world.admission.endpoints_open == 1


def test_an_endpoint_is_not_forgotten_while_a_failure_is_in_its_window() -> None:
    world = World(rules=BreakerRules(failures=1000, min_requests=4, window_seconds=600))
    world.exchange("acme", BROKEN)
    world.exchange("acme", OK)
    world.exchange("other", OK)
    world.advance(500)
    assert world.admission.lanes == 1
    world.advance(400)
    assert world.admission.lanes == 0


def test_a_receiver_that_rejects_everything_is_alive() -> None:
    world = World()
    for _ in range(50):
        world.exchange("acme", Answered(401))
    assert world.admission.endpoints_open == 0


def test_an_open_circuit_parks_without_an_attempt() -> None:
    world = World()
    world.open_circuit("acme")
    assert world.arrive("acme").parked == Parked(ParkReason.CIRCUIT_OPEN, 45)
    assert world.arrive("acme", age=1000).parked == Parked(ParkReason.CIRCUIT_OPEN, 135)
    assert world.arrive("acme", age=86400).parked == Parked(ParkReason.CIRCUIT_OPEN, 3645)
    assert world.arrive("other").running


def test_an_opening_circuit_parks_those_who_wait() -> None:
    world = World()
    for _ in range(9):
        world.exchange("acme", BROKEN)
    first, second = world.arrive("acme"), world.arrive("acme")
    world.finish(first, BROKEN)
    assert second.parked == Parked(ParkReason.CIRCUIT_OPEN, 45)


def test_one_canary_at_a_time() -> None:
    world = World()
    world.open_circuit("acme")
    world.advance(30)
    assert world.arrive("acme").running
    assert [world.arrive("acme").parked for _ in range(3)] == [Parked(ParkReason.CIRCUIT_OPEN, 5)] * 3
    assert world.arrive("acme", age=86400).parked == Parked(ParkReason.CIRCUIT_OPEN, 45)


def test_a_canary_that_waits_for_a_place_waits_alone() -> None:
    world = World(Caps(process=4, endpoint=4))
    world.open_circuit("acme")
    world.advance(30)
    world.prove("busy")
    [world.arrive("busy") for _ in range(4)]
    assert world.arrive("acme").waiting
    assert world.arrive("acme").parked == Parked(ParkReason.CIRCUIT_OPEN, 5)


def test_after_a_recovery_the_lane_reopens_gradually() -> None:
    world = World()
    world.grow("acme")
    world.open_circuit("acme")
    world.advance(30)
    assert world.exchange("acme").parked is None
    assert world.admission.endpoints_open == 0
    first = [world.arrive("acme") for _ in range(3)]
    assert [ticket.running for ticket in first] == [True, False, False]
    world.finish(first[0])
    assert [ticket.running for ticket in first] == [False, True, True]


def test_what_was_in_flight_when_the_circuit_opened_neither_closes_nor_reopens_it() -> None:
    world = World()
    world.grow("acme")
    late = [world.arrive("acme") for _ in range(20)]
    for ticket in late[:10]:
        world.finish(ticket, BROKEN)
    assert world.admission.endpoints_open == 1
    world.finish(late[10], OK)
    assert world.admission.endpoints_open == 1
    world.advance(30)
    canary = world.arrive("acme")
    world.finish(late[11], BROKEN)
    assert canary.running
    assert world.admission.endpoints_open == 1
    world.finish(canary, OK)
    for ticket in late[12:]:
        world.finish(ticket, BROKEN)
    assert world.admission.endpoints_open == 0


def test_a_canary_lost_at_shutdown_does_not_block_the_endpoint_for_good() -> None:
    world = World()
    world.open_circuit("acme")
    world.advance(30)
    canary = world.arrive("acme")
    world.running.remove(canary)
    world.admission.released(canary.delivery)
    assert world.arrive("acme").running


def test_a_canary_that_is_told_to_come_later_leaves_the_circuit_open() -> None:
    world = World()
    world.open_circuit("acme")
    world.advance(30)
    world.exchange("acme", Answered(503, retry_after=5))
    world.advance(6)
    assert world.arrive("acme").parked == Parked(ParkReason.CIRCUIT_OPEN, 45)


def test_the_open_time_grows_with_the_outage_to_ten_minutes() -> None:
    breaker, now = breaker_of(BreakerRules(failures=1)), 0.0
    breaker.failed(breaker.started(), now)
    waits = []
    while now < 86_400:
        waits.append(round(breaker.open_until - now, 6))
        now = breaker.open_until
        assert breaker.failed(breaker.started(), now)
    assert (waits[0], waits[-1]) == (30, 600)
    assert len(waits) < 250
    assert waits == sorted(waits)


def test_a_delivery_behind_a_day_long_outage_is_touched_a_few_dozen_times() -> None:
    """Not thousands: an open circuit that requeues without delay spins."""
    world = World()
    world.open_circuit("acme")
    born, parkings, attempts = world.clock, 0, 0
    while world.clock - born < 86_400:
        world.advance(0.25)
        world.exchange("acme", TIMEOUT, seconds=30)  # another one is always there to be the canary
        ticket = world.exchange("acme", TIMEOUT, seconds=30, age=world.clock - born)
        parkings += ticket.parked is not None
        attempts += ticket.parked is None
        world.clock += ticket.parked.delay if ticket.parked else 5
    assert parkings < 100
    assert parkings + attempts < 150


@pytest.mark.parametrize("outage", [60, 600, 3000, 20_000])
def test_what_waits_behind_an_outage_is_offered_soon_after_it(outage: int) -> None:
    """Within the step that covers a tenth of its age, and within a tenth more if the circuit is still open."""
    world = World()
    world.open_circuit("acme")
    born = world.clock
    recovered = born + outage
    while True:
        result = OK if world.clock >= recovered else TIMEOUT
        ticket = world.exchange("acme", result, seconds=1, age=world.clock - born)
        if ticket.parked is None and result is OK:
            break
        world.clock += ticket.parked.delay if ticket.parked else 45
    assert world.clock - recovered <= max(90, 0.36 * outage)


class BreakerMachine(RuleBasedStateMachine):
    """Attempts start and end in any order, at any time."""

    @initialize(failures=st.integers(1, 5), requests=st.integers(2, 8))
    def build(self, failures: int, requests: int) -> None:
        self.now = 0.0
        self.breaker = breaker_of(BreakerRules(failures=failures, min_requests=requests))
        self.out: list[tuple[int, bool]] = []
        self.row = 0

    @rule(seconds=st.sampled_from([0.0, 0.1, 5.0, 29.9, 30.0, 70.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.permits(self.now))
    @rule()
    def start(self) -> None:
        canary = self.breaker.state is not State.CLOSED
        self.out.append((self.breaker.started(), canary))

    @precondition(lambda self: self.out)
    @rule(pick=st.integers(0), end=st.sampled_from(["succeeded", "failed", "released", "deferred"]))
    def end(self, pick: int, end: str) -> None:
        epoch, canary = self.out.pop(pick % len(self.out))
        before, stale = self.breaker.state, epoch != self.breaker.epoch
        changed = getattr(self.breaker, end)(epoch, self.now)
        after = self.breaker.state
        if stale:
            assert before is after
            assert not changed
        elif canary:
            assert before is State.HALF_OPEN
            assert after is (State.CLOSED if end == "succeeded" else State.OPEN)
            assert self.breaker.permits(self.now) is (end in ("succeeded", "released"))
        else:
            assert before is State.CLOSED
            assert after is State.CLOSED or end == "failed"
            assert not (end == "failed" and self.breaker.consecutive >= self.breaker._rules.failures) or changed

    @invariant()
    def at_most_one_canary_counts(self) -> None:
        current = [canary for epoch, canary in self.out if epoch == self.breaker.epoch and canary]
        assert len(current) == (self.breaker.state is State.HALF_OPEN)

    @invariant()
    def an_open_circuit_is_probed_again_within_ten_minutes(self) -> None:
        if self.breaker.state is State.OPEN:
            assert self.breaker.open_until <= self.now + 600


TestBreakerMachine = BreakerMachine.TestCase

"""The rate limit of one endpoint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.admission.world import World, webhook
from worker.admission.rate import TokenBucket
from worker.basics.clock import TIMER_SECONDS
from worker.domain.outcome import ParkReason
from worker.domain.webhook import RateLimit

LIMITED = webhook("acme", rate_limit=RateLimit(2, 3))


@given(
    rate=st.floats(0.01, 1000),
    burst=st.integers(1, 50),
    share=st.sampled_from([1.0, 0.5, 1 / 3, 0.1]),
    gaps=st.lists(st.floats(0, 10), min_size=1, max_size=60),
)
def test_over_any_window_no_more_than_burst_and_rate(rate: float, burst: int, share: float, gaps: list[float]) -> None:
    bucket, now, starts = TokenBucket(RateLimit(rate, burst), share), 0.0, []
    for gap in gaps:
        now += gap
        while now >= bucket.ready_at:
            bucket.take(now)
            starts.append(now)
    above = rate * share > 1 / TIMER_SECONDS
    allowed = max(1, burst * share, 1 + rate * share * TIMER_SECONDS if above else 0)
    for first, since in enumerate(starts):
        for last in range(first, len(starts)):
            assert last - first + 1 <= (allowed + rate * share * (starts[last] - since)) * (1 + 1e-9) + 1e-6


@pytest.mark.parametrize("rate", [50, 100, 150, 500, 5_000])
def test_a_rate_above_the_timers_is_reached_without_a_burst(rate: float) -> None:
    bucket, timer, starts = TokenBucket(RateLimit(rate, 1), 1.0), 0.0, 0
    while timer < 2:
        while timer >= bucket.ready_at:
            bucket.take(timer)
            starts += 1
        timer = max(timer + TIMER_SECONDS, bucket.ready_at)
    assert 0.99 * 2 * rate <= starts <= 2 * rate + 1 + rate * TIMER_SECONDS


@given(rate=st.floats(0.01, 1000), burst=st.integers(1, 50), gaps=st.lists(st.floats(0, 10), max_size=30))
def test_a_timer_set_for_the_next_token_finds_it(rate: float, burst: int, gaps: list[float]) -> None:
    """Rounding must not leave 0.9999 of a token: the timer would spin."""
    bucket, now = TokenBucket(RateLimit(rate, burst), 1.0), 1e9
    for gap in gaps:
        now = max(now + gap, bucket.ready_at)
        bucket.take(now)
        assert max(now, bucket.ready_at) >= bucket.ready_at


def test_a_burst_starts_at_once_and_the_rest_at_the_rate() -> None:
    world = World()
    tickets = [world.arrive(LIMITED) for _ in range(4)]
    assert [ticket.running for ticket in tickets] == [True, True, True, False]
    assert world.admission.next_wake() == world.clock + 0.5
    world.advance(0.5)
    assert tickets[3].running


def test_whoever_sleeps_until_the_next_token_hears_of_one_that_comes_sooner() -> None:
    world, heard = World(), list[float | None]()
    world.admission.on_sooner(lambda: heard.append(world.admission.next_wake()))
    slow, quick = (webhook(name, rate_limit=RateLimit(rate, 1)) for name, rate in (("slow", 1), ("quick", 4)))
    for limited in (slow, slow, quick, quick, slow):
        world.arrive(limited)
    assert heard == [world.clock + 1.0, world.clock + 0.25]


def test_what_the_rate_cannot_take_within_a_second_is_parked() -> None:
    world = World()
    tickets = [world.arrive(LIMITED) for _ in range(40)]
    assert world.admission.waiting == 2
    delays = [ticket.parked.delay for ticket in tickets if ticket.parked]
    assert {ticket.parked.reason for ticket in tickets if ticket.parked} == {ParkReason.RATE_LIMITED}
    assert (delays[0], delays[-1]) == (5, 15)
    assert next(ticket.parked.free_in for ticket in tickets if ticket.parked) == 1.5


def test_one_in_a_hundred_seconds_is_parked_rather_than_held_unacked() -> None:
    world = World()
    slow = webhook("acme", rate_limit=RateLimit(0.01, 1))
    assert world.arrive(slow).running
    first, second = world.arrive(slow).parked, world.arrive(slow).parked
    assert first is not None
    assert second is not None
    assert first.delay >= 100
    assert second.delay >= first.delay


def test_three_replicas_share_the_rate() -> None:
    world = World()
    world.admission.share = 1 / 3
    tickets = [world.arrive(LIMITED) for _ in range(2)]
    assert [ticket.running for ticket in tickets] == [True, False]
    assert world.admission.next_wake() == world.clock + 1.5


def test_a_replica_that_stays_alone_takes_the_whole_rate_at_once() -> None:
    world = World()
    world.admission.share = 0.1
    tickets = [world.arrive(LIMITED) for _ in range(2)]
    assert tickets[1].waiting
    world.admission.share = 1.0
    world.advance(0.5)
    assert tickets[1].running


def test_a_changed_limit_takes_effect_without_a_new_burst() -> None:
    world = World()
    [world.arrive(LIMITED) for _ in range(3)]
    raised = webhook("acme", rate_limit=RateLimit(10, 3))
    assert world.arrive(raised).waiting
    world.advance(0.1)
    assert len(world.running) == 4


def test_a_removed_limit_is_gone() -> None:
    world = World()
    tickets = [world.arrive(LIMITED) for _ in range(3)]
    for ticket in tickets:
        world.finish(ticket)
    assert all(world.arrive("acme").running for _ in range(4))


def test_a_bucket_that_is_not_full_is_not_forgotten() -> None:
    world = World()
    slow = webhook("acme", rate_limit=RateLimit(0.001, 1))
    world.exchange(slow)
    world.advance(400)
    assert world.admission.lanes == 1
    world.advance(700)
    assert world.admission.lanes == 0

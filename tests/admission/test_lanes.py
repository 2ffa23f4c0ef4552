"""One endpoint's lane: what it takes, lets wait and parks."""

from dataclasses import replace

import pytest

from tests.admission.world import BROKEN, NO_CONNECT, OK, SCHEDULE, TIMEOUT, World, webhook
from worker.admission import lanes
from worker.admission.lanes import FIRST_LIMIT
from worker.admission.registry import FORGET_SECONDS, IDLE_SECONDS, Caps
from worker.domain.outcome import Parked, ParkReason
from worker.domain.verdict import Answered, Failure, Result, Unanswered
from worker.domain.webhook import GLOBAL_ID, Webhook


def started(tickets: list) -> int:
    return sum(ticket.started_at is not None for ticket in tickets)


def test_a_new_endpoint_gets_four_attempts_at_once() -> None:
    world = World()
    assert started([world.arrive("acme") for _ in range(8)]) == 4


def test_a_healthy_endpoint_grows_to_its_cap_and_no_further() -> None:
    world = World()
    world.grow("acme")
    assert started([world.arrive("acme") for _ in range(60)]) == 20


@pytest.mark.parametrize(
    ("results", "at_once"),
    [
        ([OK] * 6, 4 + 6),
        ([OK] * 6 + [BROKEN], 5),
        ([OK] * 6 + [BROKEN] + [OK] * 4, 5),
        ([OK] * 6 + [BROKEN] + [OK] * 5, 6),
    ],
)
def test_a_lane_grows_with_each_success_until_the_first_failure_and_slowly_after_it(
    results: list[Result], at_once: int
) -> None:
    world = World()
    for result in results:
        world.exchange("acme", result)
    assert started([world.arrive("acme") for _ in range(60)]) == at_once


def test_the_webhooks_own_concurrency_wins_over_the_setting() -> None:
    world = World()
    world.grow(webhook("acme", concurrency=2))
    assert started([world.arrive(webhook("acme", concurrency=2)) for _ in range(9)]) == 2


def test_a_tenant_who_asks_for_everything_gets_half_of_the_process() -> None:
    assert Caps(process=500).of(webhook("acme", concurrency=100_000)) == 250


def test_the_global_webhook_has_a_cap_of_its_own() -> None:
    assert Caps().of(Webhook("", "https://x", id=GLOBAL_ID)) == 200
    assert Caps().of(Webhook("acme", "https://x")) == 20


def test_a_lowered_concurrency_takes_effect_at_the_next_start() -> None:
    world = World()
    world.grow("acme")
    crowd = [world.arrive("acme") for _ in range(20)]
    lowered = [world.arrive(webhook("acme", concurrency=1)) for _ in range(3)]
    for ticket in crowd[:19]:
        world.finish(ticket)
    assert started(lowered) == 0
    world.finish(crowd[19])
    assert started(lowered) == 1


def test_twenty_that_fail_together_halve_the_limit_once() -> None:
    world = World()
    world.grow("acme")
    for ticket in [world.arrive("acme") for _ in range(8)]:
        world.finish(ticket, BROKEN)
    assert started([world.arrive("acme") for _ in range(30)]) == 10


def test_a_failing_endpoint_keeps_one_attempt_at_a_time() -> None:
    world = World()
    for _ in range(9):
        world.exchange("acme", BROKEN)
    assert started([world.arrive("acme") for _ in range(5)]) == 1


def test_a_rejection_does_not_shrink_the_lane() -> None:
    world = World()
    for _ in range(50):
        world.exchange("acme", Answered(404))
    assert started([world.arrive("acme") for _ in range(60)]) > 4


def test_waiters_start_in_order_as_places_come_free() -> None:
    world = World()
    crowd = [world.arrive("acme") for _ in range(7)]
    world.finish(crowd[0])
    assert [one.running for one in crowd[4:]] == [True, True, False], "its place, and the one it has earned"


def test_one_endpoint_cannot_fill_the_prefetch() -> None:
    """A new one may, for the quarter of a second in which nobody knows how fast it is."""
    world = World(Caps(process=40))
    for _ in range(200):
        world.arrive("acme")
    assert world.admission.waiting == 40
    world.advance(0.5)
    assert world.admission.waiting <= 10


def test_a_backlog_for_a_fast_endpoint_waits_in_its_lane_and_is_not_parked() -> None:
    """The whole prefetch for one endpoint that answers in 2 ms: parking it for seconds would only delay it."""
    world = World()
    world.grow("acme", seconds=0.002)
    tickets = [world.arrive("acme") for _ in range(400)]
    assert not any(ticket.parked for ticket in tickets)


def test_a_new_endpoint_that_answers_at_once_has_nothing_parked() -> None:
    world = World()
    tickets = [world.arrive("acme") for _ in range(400)]
    while world.running:
        world.clock += 0.002
        world.finish_all()
        world.admission.tick()
    assert not any(ticket.parked for ticket in tickets)


def test_a_new_endpoint_keeps_the_benefit_of_the_doubt_when_its_first_attempt_ends() -> None:
    """Of a whole prefetch that comes at the start, nothing is parked because its lane has not grown yet."""
    world = World()
    first = world.arrive("acme")
    world.clock += 0.01
    world.finish(first)
    tickets = [world.arrive("acme") for _ in range(400)]
    assert not any(ticket.parked for ticket in tickets)


def test_a_hiccup_of_half_a_second_parks_nobody() -> None:
    world = World()
    world.grow("acme", seconds=0.02)
    tickets = [world.arrive("acme") for _ in range(120)]
    world.clock += 0.5
    world.admission.tick()
    assert not any(ticket.parked for ticket in tickets)


def test_an_endpoint_that_hangs_keeps_one_waiter_after_a_second() -> None:
    world = World()
    for _ in range(30):
        world.arrive("acme")
    world.advance(1.3)
    assert world.admission.waiting == 1
    assert world.arrive("acme").parked


def test_a_slow_endpoint_lets_only_its_limit_wait() -> None:
    world = World()
    for _ in range(5):
        world.exchange("acme", seconds=10)
    for _ in range(60):
        world.arrive("acme")
    assert world.admission.waiting <= 9, "four, and one for each success"


def test_what_a_full_lane_cannot_take_is_parked_for_as_long_as_it_will_take() -> None:
    """20 at once in 100 ms make 200 a second; 40,000 take 200 s."""
    world = World()
    world.grow("acme")
    delays = [ticket.parked.delay for ticket in [world.arrive("acme") for _ in range(40_000)] if ticket.parked]
    assert all(delay in SCHEDULE.steps for delay in delays)
    assert delays[0] == 5
    assert max(delays) == 135


def test_a_hung_endpoint_hands_its_waiters_back_after_five_seconds() -> None:
    """They are un-acked: a dead receiver would otherwise hold the prefetch for its whole timeout."""
    world = World()
    crowd = [world.arrive("acme") for _ in range(8)]
    world.advance(5.5)
    assert world.admission.waiting == 0
    assert all(ticket.parked and ticket.parked.reason is ParkReason.ENDPOINT_BUSY for ticket in crowd[4:])


def test_a_given_up_attempt_frees_its_place() -> None:
    world = World()
    crowd = [world.arrive("acme") for _ in range(5)]
    world.running.remove(crowd[0])
    world.admission.released(crowd[0].delivery)
    assert crowd[4].running


def test_a_retry_after_defers_the_whole_endpoint() -> None:
    world = World()
    crowd = [world.arrive("acme") for _ in range(6)]
    world.finish(crowd[0], Answered(429, retry_after=60))
    assert [ticket.parked for ticket in crowd[4:]] == [Parked(ParkReason.RETRY_AFTER, 135)] * 2
    world.advance(50)
    assert world.arrive("acme").parked == Parked(ParkReason.RETRY_AFTER, 15)
    world.advance(10)
    assert world.arrive("acme").parked is None


def test_a_retry_after_of_ten_years_defers_for_an_hour() -> None:
    world = World()
    world.exchange("acme", Answered(503, retry_after=10 * 365 * 86400.0))
    assert world.arrive("acme").parked == Parked(ParkReason.RETRY_AFTER, 3645)
    world.advance(3600)
    assert world.arrive("acme").parked is None


def test_a_late_success_does_not_end_a_retry_after() -> None:
    world = World()
    first, second = world.arrive("acme"), world.arrive("acme")
    world.finish(first, Answered(429, retry_after=60))
    world.finish(second, OK)
    assert world.arrive("acme").parked is not None


def test_a_retry_after_on_a_500_is_not_obeyed() -> None:
    world = World()
    world.exchange("acme", Answered(500, retry_after=60))
    assert world.arrive("acme").parked is None


def test_an_egress_refusal_teaches_nothing() -> None:
    world = World()
    for _ in range(30):
        world.exchange("acme", Unanswered(Failure.REFUSED, "private address"))
    assert world.admission.endpoints_open == 0
    assert started([world.arrive("acme") for _ in range(9)]) == 4


def test_a_circuit_and_a_deferral_end_when_the_webhook_gets_another_url() -> None:
    world = World()
    moved = replace(webhook("a"), url="https://elsewhere.example/hook")
    world.open_circuit("a")
    assert world.arrive(replace(webhook("a"), events=frozenset({"CALL"}))).parked is not None, "the same receiver"
    assert world.exchange(moved).parked is None
    assert world.admission.endpoints_open == 0
    world.exchange(moved, Answered(429, 600.0))
    assert world.arrive(moved).parked is not None
    assert world.exchange("a").parked is None


def test_connects_that_fail_at_once_prove_no_endpoint_quick() -> None:
    world = World(Caps(process=100, endpoint=20))
    for name in range(100):
        world.arrive(f"dead {name}")
        world.advance(2.1)
        world.finish_all(NO_CONNECT)
        world.exchange(f"dead {name}", NO_CONNECT, seconds=0.001)
        world.prove("well")
    for name in range(100):
        world.arrive(f"dead {name}")
    assert 0 < len(world.running) <= 50, "at most half of the places, as for all that are slow"


def test_shutdown_parks_every_waiter_at_once_and_admits_nothing() -> None:
    world = World()
    crowd = [world.arrive("acme") for _ in range(8)]
    world.admission.drain()
    assert [ticket.parked for ticket in crowd[4:]] == [Parked(ParkReason.SHUTDOWN, 0)] * 4
    assert world.arrive("other").parked == Parked(ParkReason.SHUTDOWN, 0)
    world.finish_all()
    assert world.admission.in_flight == 0


def test_20_000_endpoints_leave_nothing_behind() -> None:
    world = World()
    for number in range(20_000):
        world.exchange(f"tenant-{number}", OK if number % 3 else NO_CONNECT, seconds=0)
    assert world.admission.lanes == 20_000
    world.advance(300)
    world.advance(120)
    assert world.admission.lanes > 6_000, "a failure is remembered longer than a success"
    world.clock += 7200
    world.advance(120)
    assert world.admission.lanes == 0


def test_an_endpoint_with_an_open_circuit_is_forgotten_only_after_all_that_it_parked_is_back() -> None:
    world = World()
    world.open_circuit("acme", TIMEOUT)
    world.advance(3700)
    assert world.admission.lanes == 1
    world.clock += 3600
    world.advance(1)
    assert (world.admission.lanes, world.admission.endpoints_open) == (0, 0)


def test_what_a_lane_knows_is_gone_once_it_is_forgotten() -> None:
    world, hook = World(), webhook("acme")
    for _ in range(8):
        world.exchange(hook, OK)
    assert started([world.arrive(hook) for _ in range(20)]) > FIRST_LIMIT
    world.finish_all()
    world.finish_all()
    world.advance(IDLE_SECONDS + 120)
    assert world.admission.lanes == 0
    assert started([world.arrive(hook) for _ in range(20)]) == FIRST_LIMIT
    assert world.admission.lanes == 1


def test_a_webhook_that_was_replaced_and_comes_back_has_its_endpoints_lane() -> None:
    world, before = World(), webhook("acme")
    now = replace(before, events=frozenset({"messages.upsert"}))
    for hook in (before, now, before, now, now):
        world.exchange(hook, BROKEN)
    assert world.admission.lanes == 1
    assert started([world.arrive(before) for _ in range(4)]) == 1
    while world.running:
        world.finish_all()
    world.clock += FORGET_SECONDS
    world.advance(120)
    assert world.admission.lanes == 0
    assert started([world.arrive(now) for _ in range(20)]) == FIRST_LIMIT


def test_two_registries_that_know_one_webhook_have_a_lane_each() -> None:
    hook, side, other = webhook("acme"), World(), World()
    side.open_circuit(hook, TIMEOUT)
    for _ in range(2):
        assert other.arrive(hook).running
        assert side.arrive(hook).parked is not None
    assert (side.admission.lanes, other.admission.lanes) == (1, 1)
    other.finish_all()
    other.advance(IDLE_SECONDS + 120)
    assert (side.admission.lanes, other.admission.lanes) == (1, 0)
    assert side.arrive(hook).parked is not None


def test_lanes_at_rest_share_their_empty_waiting_room() -> None:
    world = World()
    for _ in range(3):
        [world.arrive("acme") for _ in range(9)]
        world.finish_all()
        world.finish_all()
    assert not lanes._NONE_WAIT

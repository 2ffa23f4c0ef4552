"""The whole process: slow endpoints hold at most half, and everybody gets a turn."""

from random import Random

from tests.admission.world import OK, World
from worker.admission.lanes import Pool
from worker.admission.registry import Caps


def slow_world(hung: int = 20) -> World:
    """A process of 40 places whose slow half is taken by endpoints that never answer."""
    world = World(Caps(process=40, endpoint=20))
    for number in range(hung):
        for _ in range(4):
            world.arrive(f"hung-{number}")
    return world


def test_endpoints_that_never_answer_hold_at_most_half() -> None:
    world = slow_world()
    assert world.admission.in_flight == 20
    world.advance(10)
    assert world.admission.in_flight == 20


def test_a_proven_endpoint_is_untouched_by_those_that_hang() -> None:
    world = World(Caps(process=40, endpoint=20))
    world.grow("good")
    for number in range(20):
        for _ in range(4):
            world.arrive(f"hung-{number}")
    world.advance(3)
    assert all(ticket.running for ticket in [world.arrive("good") for _ in range(20)])


def test_when_all_quick_endpoints_hang_at_once_a_healthy_one_still_has_half() -> None:
    world = World(Caps(process=40, endpoint=20))
    for name in ("a", "b", "good"):
        world.grow(name)
    [world.arrive(name) for name in ("a", "b") for _ in range(20)]
    assert world.admission.in_flight == 40
    blocked = world.arrive("good")
    assert blocked.waiting
    world.advance(2.5)
    assert blocked.running
    assert all(ticket.running for ticket in [world.arrive("good") for _ in range(19)])
    assert world.admission.in_flight == 60, "one and a half of the process is the end"
    world.finish(world.tickets[-1])
    assert world.admission.in_flight == 59


def test_an_endpoint_that_answers_in_ten_seconds_is_slow_between_its_attempts_too() -> None:
    world = slow_world(hung=0)
    world.exchange("acme", seconds=10)
    for _ in range(4):
        world.arrive("acme")
    assert world.admission._places.in_flight_by_pool[Pool.SLOW] == 4


def test_an_endpoint_seen_for_the_first_time_does_not_queue_behind_slow_ones() -> None:
    """Most tenants are quiet: each event of theirs meets a lane that has proven nothing yet."""
    world = World(Caps(process=40, endpoint=20))
    for _ in range(30):
        for number in range(20):
            world.arrive(f"slow-{number}")
        world.advance(3)
        for ticket in list(world.running):
            world.finish(ticket)
    for _ in range(30):
        for number in range(20):
            world.arrive(f"slow-{number}")
    assert world.admission._places.in_flight_by_pool[Pool.SLOW] == 15
    assert world.admission.waiting <= 20
    assert [world.arrive(f"quiet-{number}").running for number in range(5)] == [True] * 5


def test_one_quick_answer_makes_an_endpoint_quick_again() -> None:
    world = slow_world(hung=0)
    world.exchange("acme", seconds=10)
    world.exchange("acme", seconds=0.1)
    world.arrive("acme")
    assert world.admission._places.in_flight_by_pool == [1, 0, 0]


def test_turns_go_round_when_the_process_is_full() -> None:
    """One endpoint with a queue of its own cannot take two turns while another waits for its first."""
    world = World(Caps(process=8, endpoint=4))
    for name in ("a", "b", "c", "d"):
        world.prove(name)
    [world.arrive("a") for _ in range(4)]
    [world.arrive("b") for _ in range(4)]
    waiters = {name: [world.arrive(name), world.arrive(name)] for name in ("c", "d")}
    first, second = world.running[:2]
    world.finish(first)
    world.finish(second)
    assert [waiters[name][0].running for name in ("c", "d")] == [True, True]
    assert [waiters[name][1].running for name in ("c", "d")] == [False, False]


def test_a_new_endpoint_gets_its_turn_between_busy_quick_ones() -> None:
    world = World(Caps(process=8, endpoint=8))
    for _ in range(100):
        world.prove("busy")
    [world.arrive("busy") for _ in range(10)]
    fresh = world.arrive("fresh")
    world.finish(world.running[0])
    world.finish(world.running[0])
    assert fresh.running


def test_a_lane_that_changes_sides_while_it_stands_in_line_keeps_its_turn() -> None:
    world = World(Caps(process=4, endpoint=4))
    world.prove("acme")
    world.prove("other")
    mine = world.arrive("acme")
    others = [world.arrive("other") for _ in range(3)]
    waiting = world.arrive("acme")
    world.advance(2.5)
    for ticket in others:
        world.finish(ticket)
    assert waiting.running
    world.finish(mine)
    assert world.admission._places.in_flight == 1


def test_hung_endpoints_leave_seats_for_the_others() -> None:
    world = World(Caps(process=40, endpoint=20))
    world.grow("good")
    for number in range(100):
        for _ in range(8):
            world.arrive(f"hung-{number}")
    assert world.admission.waiting <= 40
    assert all(ticket.parked is None for ticket in [world.arrive("good") for _ in range(21)])


def test_many_endpoints_in_steady_state_all_get_the_same() -> None:
    world = World(Caps(process=16, endpoint=4))
    chance = Random(1)
    done = dict.fromkeys((f"e{number}" for number in range(30)), 0)
    for name in done:
        world.prove(name)
    for _ in range(200):
        for name in chance.sample(sorted(done), len(done)):
            world.arrive(name)
        world.clock += 0.1
        for ticket in list(world.running)[:16]:
            done[ticket.delivery.webhook.instance] += 1
            world.finish(ticket, OK)
        world.admission.tick()
    assert min(done.values()) > 0.5 * max(done.values())


def test_quick_endpoints_beside_hung_ones_share_the_other_half() -> None:
    world = World(Caps(process=40, endpoint=20))
    for name in ("good", "better"):
        world.grow(name)
    for number in range(20):
        for _ in range(4):
            world.arrive(f"hung-{number}")
    assert all(world.arrive("good").running for _ in range(20))
    assert world.admission.in_flight == 40
    assert world.arrive("better").waiting

"""What the admission tells an operator: waits in lanes, and the circuit that has been open for longest."""

from __future__ import annotations

from tests.admission.world import BROKEN, OK, World, webhook
from worker.admission.breaker import BreakerRules
from worker.admission.registry import Caps


def waits(world: World) -> list[float]:
    found: list[float] = []
    world.admission.observe_waits(found.append)
    return found


def test_who_starts_at_once_has_not_waited() -> None:
    world = World()
    observed = waits(world)
    world.exchange("a")
    assert observed == []


def test_a_wait_ends_with_the_start_or_with_the_parking() -> None:
    world = World(Caps(process=500, endpoint=1))
    observed = waits(world)
    first = world.arrive(webhook("a"))
    second, third = world.arrive("a"), world.arrive("a")
    assert (second.waiting, third.waiting, observed) == (True, True, [])
    world.clock += 0.5
    world.finish(first)
    assert second.running
    assert observed == [0.5]
    world.clock += 0.25
    world.admission.drain()
    assert third.parked is not None
    assert observed == [0.5, 0.75]


def test_the_longest_open_circuit_keeps_its_first_time_through_failed_canaries() -> None:
    world = World(rules=BreakerRules(failures=3, open_seconds=30))
    assert world.admission.open_longest == 0
    for _ in range(3):
        world.exchange("a", BROKEN, seconds=0)
    opened = world.clock
    world.advance(100)
    assert world.exchange("a", BROKEN).parked is None, "the canary"
    for _ in range(3):
        world.exchange("b", BROKEN, seconds=0)
    world.advance(100)
    assert world.admission.endpoints_open == 2
    assert world.admission.open_longest == world.clock - opened


def test_a_circuit_that_closes_leaves_the_next_longest() -> None:
    world = World(rules=BreakerRules(failures=3, open_seconds=30))
    for name in "ab":
        for _ in range(3):
            world.exchange(name, BROKEN, seconds=0)
        world.advance(50)
    world.exchange("a", OK, seconds=0)
    assert world.admission.open_longest == 50
    world.exchange("b", OK, seconds=0)
    assert world.admission.open_longest == 0

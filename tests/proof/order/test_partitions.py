"""The model of docs/scale.md is right: nothing vanishes, order is kept, and it obeys the laws of queues."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from unittest.mock import patch

import pytest

from tests.proof.order.partitions import ROUTER, Costs, Design, Event, Outage, Run, Simulation, Traffic, bounds

COSTS = Costs()
FEW = Traffic(2000, instances=20, chats=5, wanted=0.7)
ROUTED = Design(3, routed=True)


def simulated(design: Design, traffic: Traffic, seconds: float = 2.0, *outages: Outage, costs: Costs = COSTS) -> Run:
    return Simulation(design, traffic, costs, outages=outages).run(seconds, to_the_end=True)


@pytest.mark.parametrize("design", [Design(), Design(3), ROUTED], ids=str)
def test_every_event_ends_and_is_posted_once_if_it_is_wanted(design: Design) -> None:
    run = simulated(design, FEW)
    assert len(run.events) > 3500
    assert run.ended == len(run.events)
    assert {(event.wanted, event.posts) for event in run.events} == {(True, 1), (False, 0)}
    assert run.inverted == 0


@pytest.mark.parametrize("core", [0, ROUTER])
def test_a_death_loses_and_inverts_nothing_and_repeats_what_was_under_way(core: int | str) -> None:
    outages = (Outage(core, 0.5, 0.3), Outage(core, 1.2, 0.3))
    run = simulated(ROUTED, FEW, 2.0, *outages)
    assert run.ended == len(run.events)
    assert all(event.posts >= event.wanted for event in run.events)
    assert run.inverted == 0
    assert 0 < run.repeats <= 500
    assert run.latencies()[-1] > 0.25, "it was felt"


def test_first_posts_of_a_chat_are_in_its_order() -> None:
    """By the events themselves, not by the model's own count."""
    run = simulated(ROUTED, FEW, 2.0, Outage(1, 0.5, 0.3), Outage(ROUTER, 1.0, 0.3))
    posted: dict[tuple[int, int], list[float]] = defaultdict(list)
    for event in run.events:
        if event.wanted:
            assert event.posted_at is not None
            posted[event.key].append(event.posted_at)
    assert all(times == sorted(times) for times in posted.values())


def test_a_hash_of_the_event_instead_of_the_instance_is_seen_to_invert() -> None:
    numbers: dict[Event, int] = {}

    def by_event(self: Simulation, event: Event, now: float) -> None:
        partition = self._partitions[numbers.setdefault(event, len(numbers)) % 3]
        partition.held[event] = None
        partition.queued.append(event)
        self._fill(partition, now)

    with patch.object(Simulation, "_reach", by_event):
        assert simulated(Design(3), FEW).inverted > 10


def test_a_single_server_waits_as_pollaczek_and_khinchine_say() -> None:
    """M/D/1: the mean wait is load * service / (2 * (1 - load))."""
    load, service = 0.75, 1e-3
    costs = Costs(take=0.0, post=0.0, settle=0.0, answer=0.0, route=service)
    run = simulated(Design(routed=True), Traffic(load / service, instances=50, chats=50), 30.0, costs=costs)
    waits = [late - service for late in run.latencies()]
    assert sum(waits) / len(waits) == pytest.approx(load * service / (2 * (1 - load)), rel=0.1)


@pytest.mark.parametrize("design", [Design(), Design(2), Design(4, routed=True)], ids=str)
def test_throughput_is_the_least_bound_and_a_core_is_as_busy_as_the_utilization_law_says(design: Design) -> None:
    traffic = Traffic(1.0, instances=200, chats=20)
    found = bounds(design, traffic, COSTS)
    least = min(found.values())
    easy = Simulation(design, replace(traffic, rate=least * 0.6), COSTS).run(1.0)
    name = ROUTER if min(found, key=lambda who: found[who]) == "the router" else None
    busiest = easy.busy[name] if name else max(easy.busy.values())
    assert busiest == pytest.approx(0.6, rel=0.05)
    if design.partitions == 1 or design.routed:  # else the other partitions still have room
        flooded = Simulation(design, replace(traffic, rate=least * 1.5), COSTS).run(1.0)
        assert sum(event.posts for event in flooded.events) / 1.0 == pytest.approx(least, rel=0.05)


def test_a_single_chat_is_bounded_by_its_receiver_whatever_there_is_of_partitions() -> None:
    one = Traffic(100.0, instances=1, chats=1)
    assert bounds(Design(8), one, COSTS)["the hottest chat"] == pytest.approx(1 / 0.020115, rel=0.001)
    run = Simulation(Design(8), one, COSTS).run(4.0)
    assert run.ended / 4.0 == pytest.approx(1 / 0.020115, rel=0.03)


def test_what_no_ordered_webhook_wants_is_no_delivery() -> None:
    found = bounds(Design(), Traffic(1.0, wanted=0.0001), COSTS)
    assert found["the fullest partition"] == pytest.approx(1 / COSTS.skip, rel=0.001)
    run = simulated(Design(), replace(FEW, wanted=0.0))
    assert run.ended == len(run.events)
    assert run.busy[0] == pytest.approx(len(run.events) * COSTS.skip / 2.0)

"""The bodies of all sidings together stay within their bound, and none of them starves for it."""

from __future__ import annotations

from tests.ordered.alone import Alone
from worker.domain.webhook import Endpoint
from worker.ordered.deciding.ports import Item
from worker.ordered.deciding.rules import FULL_PREFETCH, LABEL_ALONE, LABEL_AND_HEAD, Rules

MOST = 100
NAMES = "abc"


def sided(*, size: int, events: int, most: int = MOST) -> Alone:
    """Three endpoints that are down, each with its events in a siding of its own."""
    alone = Alone(Rules(most_siding_bytes=most))
    alone.become_active()
    for name in NAMES:
        alone.down.add(Endpoint("acme", name))
        for number in range(events):
            alone.core.took(Item(f"{name}{number}", Endpoint("acme", name), f"chat{number}", size=size))
    settle(alone, 2.0)
    return alone


def settle(alone: Alone, seconds: float) -> None:
    for _ in range(int(seconds * 4)):
        alone.pass_time(0.25)
        alone.broker_does_all()


def held(alone: Alone) -> int:
    return sum(siding.bytes for siding in alone.core.sidings)


def prefetches(alone: Alone) -> list[int]:
    return sorted(siding.prefetch for siding in alone.core.sidings)


def test_small_events_need_no_care() -> None:
    alone = sided(size=1, events=10)
    assert prefetches(alone) == [FULL_PREFETCH] * 3
    assert (held(alone), alone.core.bytes) == (30, 30)


def test_over_the_bound_the_fullest_are_given_one_event_at_a_time() -> None:
    alone = sided(size=20, events=10)
    assert held(alone) <= MOST
    assert prefetches(alone) == [LABEL_AND_HEAD] * 3


def test_where_one_each_is_too_much_some_have_none_for_a_while_and_all_take_turns() -> None:
    alone = sided(size=60, events=3)
    assert held(alone) <= MOST
    assert prefetches(alone) == [LABEL_ALONE, LABEL_ALONE, LABEL_AND_HEAD]
    served = set()
    for _ in range(60):
        settle(alone, 1.0)
        assert held(alone) <= MOST
        served |= {siding.number for siding in alone.core.sidings if siding.bytes}
    assert served == {1, 2, 3}


def test_an_event_above_the_bound_is_held_alone() -> None:
    alone = sided(size=500, events=2)
    assert held(alone) == 500
    assert prefetches(alone) == [LABEL_ALONE, LABEL_ALONE, LABEL_AND_HEAD]


def test_all_of_it_is_delivered_in_the_end() -> None:
    alone = sided(size=60, events=5)
    alone.down.clear()
    sent = []
    for _ in range(200):
        settle(alone, 1.0)
        for item in list(alone.attempts):
            sent.append(item.id)
            alone.succeed(item)
    assert sorted(sent) == sorted(f"{name}{number}" for name in NAMES for number in range(5))
    assert held(alone) == 0

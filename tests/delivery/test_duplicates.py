"""Copies of one event over two exchanges."""

from __future__ import annotations

from worker.delivery.duplicates import Duplicates
from worker.domain.past import Past

EVENT = Past("a" * 64, 1.0, "", "")
OTHER = Past("b" * 64, 1.0, "", "")


def test_the_copy_on_the_other_exchange_is_a_duplicate() -> None:
    known = Duplicates()
    assert [known.seen(EVENT, exchange, 0.0) for exchange in ("evolution", "acme")] == [False, True]


def test_equal_events_on_one_exchange_stay_two_and_so_do_their_copies_pair_by_pair() -> None:
    known = Duplicates()
    order = ("evolution", "evolution", "acme", "acme", "acme")
    assert [known.seen(EVENT, exchange, 0.0) for exchange in order] == [False, False, True, True, False]


def test_other_events_are_no_copies() -> None:
    known = Duplicates()
    assert [known.seen(EVENT, "evolution", 0.0), known.seen(OTHER, "acme", 0.0)] == [False, False]


def test_a_minute_later_it_is_an_event_again() -> None:
    known = Duplicates()
    assert not known.seen(EVENT, "evolution", 0.0)
    assert not known.seen(EVENT, "acme", 61.0)
    assert known.seen(EVENT, "evolution", 62.0)


def test_what_comes_back_from_a_delay_queue_is_no_copy() -> None:
    known = Duplicates()
    assert not known.seen(EVENT, "evolution", 0.0)
    assert not known.seen(EVENT.for_webhook("default"), "", 1.0)
    assert not known.seen(EVENT.parked(), "", 1.0)


def test_memory_is_bounded() -> None:
    known = Duplicates()
    for number in range(200):
        for part in range(3):
            known.seen(Past(f"{number}-{part}", 1.0, "", ""), "evolution", number * 70.0)
    assert len(known._sightings) <= 6
    assert len(known._by_event) <= 6


def test_an_event_that_repeats_does_not_keep_others_from_being_forgotten() -> None:
    known = Duplicates()
    known.seen(Past("rare", 1.0, "", ""), "evolution", 0.0)
    for second in range(1, 120):
        known.seen(Past("often", 1.0, "", ""), "evolution", float(second))
    assert len(known._sightings) <= 62
    assert not known.seen(Past("rare", 1.0, "", ""), "acme", 120.0)

"""The column `inversions`: what is one is seen, and what only looks like one is not."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.proof.chaos.inversions import Arrival, Said, inversions

History = list[Said]


def post(at: float, status: int | None = 200, took: float = 1.0) -> Arrival:
    return Arrival(at, None if status is None else at + took, status)


def said(number: int, *arrivals: Arrival, **more: Any) -> Said:
    """Published at its number, confirmed half a second later."""
    return replace(Said(number, number, number + 0.5, arrivals=arrivals), **more)


INVERTED: dict[str, History] = {
    "the later one came first": [said(1, post(20)), said(2, post(10))],
    "it came while the earlier one was under way": [said(1, post(10)), said(2, post(10.5))],
    "it came between two attempts": [said(1, post(10, 500), post(20)), said(2, post(15))],
    "it came before the end, though the earlier one arrived first": [said(1, post(10, took=5)), said(2, post(14.9))],
    "it came after a POST that was never answered": [said(1, post(10, None), post(20)), said(2, post(15))],
    "not the next but a later one came too early": [said(1, post(10)), said(2), said(3, post(10.5))],
    "a repeat of the later one came in time, its first did not": [said(1, post(10)), said(2, post(5), post(20))],
    "the earlier one was refused later": [said(1, post(10, 500), post(20, 404)), said(2, post(15))],
    "the earlier one arrived and never ended": [said(1, post(10, 500)), said(2, post(99))],
    "it came before the earlier one was given up": [said(1, post(10, 500), given_up=30.0), said(2, post(29))],
    "it came before the first attempt of one that was given up at a time unknown": [
        said(1, post(10, 500), given_up=-inf),
        said(2, post(10.5)),
    ],
    "one connection, no confirm": [
        said(1, post(20), confirmed=None),
        said(2, post(10), confirmed=None),
    ],
    "another connection, confirmed before": [said(1, post(20), confirmed=1.5), said(2, post(10), connection=1)],
}

IN_ORDER: dict[str, History] = {
    "one after the other": [said(1, post(10)), said(2, post(11)), said(3, post(12))],
    "a tie: it came at the very moment": [said(1, post(10)), said(2, post(11))],
    "a repeat of the earlier one after the later one": [said(1, post(10), post(50)), said(2, post(11))],
    "a repeat under way while the later one comes": [said(1, post(10), post(10.9, took=9)), said(2, post(12))],
    "the answer was given and not heard: it is sent again": [said(1, post(10), post(13)), said(2, post(15))],
    "attempts, then success": [said(1, post(10, 500), post(13, 503), post(20)), said(2, post(21))],
    "the head was given up": [said(1, post(10, 500), post(20, 500), given_up=30.0), said(2, post(30))],
    "the head was given up, and came again after a crash": [
        said(1, post(10, 500), post(40, 500), given_up=30.0),
        said(2, post(31)),
    ],
    "given up at a time unknown, after an attempt": [
        said(1, post(10, 500), post(20, 500), given_up=-inf),
        said(2, post(15)),
    ],
    "given up without an attempt": [said(1, given_up=-inf), said(2, post(5))],
    "refused at once": [said(1, post(10, 404)), said(2, post(11))],
    "gone": [said(1, post(10, 410)), said(2, post(11))],
    "never published: no confirm, no arrival": [said(1, confirmed=None), said(2, post(5))],
    "lost, which is told elsewhere": [said(1), said(2, post(5))],
    "two connections, and the first one's confirm came too late to tell": [
        said(1, post(20), confirmed=2.5),
        said(2, post(10), connection=1),
    ],
    "two connections, no confirm": [said(1, post(20), confirmed=None), said(2, post(10), connection=1)],
    "nothing": [],
}


@pytest.mark.parametrize("name", INVERTED)
def test_an_inversion_is_seen(name: str) -> None:
    assert len(inversions(INVERTED[name])) == 1


@pytest.mark.parametrize("name", IN_ORDER)
def test_what_only_looks_like_one_is_none(name: str) -> None:
    assert inversions(IN_ORDER[name]) == []


def test_each_event_counts_once_and_says_for_whom_it_was_too_early() -> None:
    found = inversions([said(1, post(10)), said(2, post(20)), said(3, post(5)), said(4, post(6))])
    assert [(one.earlier.number, one.later.number) for one in found] == [(1, 3), (1, 4)]
    assert str(found[0]) == "event 3 came at 5.000, event 1 ended at 11.000"


def test_who_never_ends_is_told() -> None:
    (found,) = inversions([said(1, post(10, 500)), said(2, post(20))])
    assert str(found) == "event 2 came at 20.000, event 1 ended never"


@given(st.lists(st.lists(st.sampled_from([500, 503, None]), max_size=3), min_size=2, max_size=8), st.data())
def test_one_delivery_after_the_other_is_in_order_and_two_of_them_exchanged_are_not(
    failures: list[list[int | None]], data: st.DataObject
) -> None:
    """Whatever failed on the way."""
    now, histories = 100.0, []
    for number, before in enumerate(failures):
        arrivals = []
        for status in [*before, 200]:
            arrivals.append(post(now, status))
            now += 2
        histories.append(said(number, *arrivals))
    assert inversions(histories) == []
    first = data.draw(st.integers(0, len(histories) - 2))
    second = data.draw(st.integers(first + 1, len(histories) - 1))
    one, other = histories[first], histories[second]
    histories[first], histories[second] = replace(one, arrivals=other.arrivals), replace(other, arrivals=one.arrivals)
    assert {found.later.number for found in inversions(histories)} >= {second}

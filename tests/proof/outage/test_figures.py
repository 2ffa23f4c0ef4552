"""The judgement of `make outage` can fail."""

from __future__ import annotations

import pytest

from tests.proof.bench.ledger import Arrival
from tests.proof.outage.figures import AFTER, BEFORE, STOPPED, Latency, Phases, Rows, latencies, lines, unchanged

PHASES = Phases(began=5, gone=25, back=44, ended=60)


def arrivals(**slow: float) -> list[Arrival]:
    """One a second, from second 0 to 70, each after 10 ms, or `at20=...` ms where it is sent in second 20."""
    return [Arrival(at, 0, at, at + slow.get(f"at{at}", 10) / 1000) for at in range(70)]


def test_latency_is_told_by_phase_and_by_slices_of_ten_seconds() -> None:
    found = latencies(arrivals(at20=50, at30=70, at3=99, at65=99), PHASES)
    assert {phase: (len(one.all), [round(p99) for p99 in one.slices]) for phase, one in found.items()} == {
        BEFORE: (20, [10, 50]),
        STOPPED: (19, [70, 10]),
        AFTER: (16, [10, 10]),
    }


def test_a_slice_that_is_cut_short_by_the_end_of_its_phase_is_no_slice() -> None:
    assert len(latencies(arrivals(), Phases(5, 25, 49, 60))[STOPPED].slices) == 2


def of(before: list[float], stopped: list[float], after: list[float]) -> dict[str, Latency]:
    return {
        name: Latency(sorted(slices), slices) for name, slices in ((BEFORE, before), (STOPPED, stopped), (AFTER, after))
    }


def test_within_the_noise_is_no_slower_than_the_slowest_slice_of_before() -> None:
    assert unchanged(of([10, 30, 12], [11, 30, 99], [9, 9, 9]))
    assert not unchanged(of([10, 30, 12], [11, 31, 99], [9, 9, 9]))
    assert not unchanged(of([10, 30, 12], [11, 12, 13], [40, 40, 9]))


@pytest.mark.parametrize(
    ("rows", "holds"), [(Rows(9, 9, 0), True), (Rows(9, 5, 4), True), (Rows(9, 8, 0), False), (Rows(8, 8, 0), False)]
)
def test_each_delivery_has_a_row_that_is_kept_or_counted(rows: Rows, holds: bool) -> None:
    told = list(lines(of([1], [1], [1]), rows, 9))[-1]
    assert told.endswith("| pass |") is holds
    assert told.endswith("| **FAIL** |") is not holds

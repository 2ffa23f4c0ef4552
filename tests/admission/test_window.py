"""What came in the last while, in buckets: against a list of all that came."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.admission.window import BUCKETS, Buckets, Tally


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 300))))
def test_the_total_is_that_of_the_bucket_and_the_six_before_it(steps: list[tuple[int, int]]) -> None:
    tally, bucket, came = Tally(), 5_000, []
    for passed, count in steps:
        bucket += passed
        for _ in range(count):
            tally.add(bucket)
        came += [bucket] * count
        assert tally.total(bucket) == sum(one >= bucket - BUCKETS for one in came)


@given(st.lists(st.integers(0, 9), max_size=30))
def test_asking_changes_nothing(steps: list[int]) -> None:
    asked, other, bucket = Tally(), Tally(), 0
    for passed in steps:
        bucket += passed
        asked.add(bucket)
        other.add(bucket)
        bucket += passed // 2
        asked.total(bucket)
    assert asked.total(bucket) == other.total(bucket)


def test_a_long_time_without_anything_takes_no_memory() -> None:
    tally = Tally()
    tally.add(0)
    tally.add(10**12)
    assert tally.total(10**12) == 1


@given(st.floats(1e-300, 1e8), st.lists(st.floats(0, 1e6), max_size=20))
def test_buckets_are_numbered_as_time_goes_on(window: float, steps: list[float]) -> None:
    buckets, now, last = Buckets(window), 0.0, 0
    for seconds in steps:
        now += seconds
        number = buckets.at(now)
        assert number >= last
        last = number
        assert abs(number - now // max(window / 6, 0.001)) <= 1


@pytest.mark.parametrize(("now", "number"), [(0.0, 0), (9.9, 0), (10.0, 1), (19.9, 1), (123_456.0, 12_345)])
def test_a_minute_has_buckets_of_ten_seconds(now: float, number: int) -> None:
    assert Buckets(60).at(now) == number

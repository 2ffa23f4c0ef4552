"""The retry schedule and what covers a delay."""

from fractions import Fraction
from math import ceil, inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.backoff import BASE_STEPS, LONGEST_DELAY, Schedule, circuit_open_delay, schedule

DEFAULT = schedule(attempts=12, initial=5, multiplier=3, longest=21600)


def test_the_default_schedule_waits_about_22_hours_in_all() -> None:
    assert DEFAULT.delays == (5, 15, 45, 135, 405, 1215, 3645, 10935, 21600, 21600, 21600)
    assert DEFAULT.steps == (5, 15, 45, 135, 405, 1215, 3645, 10935, 21600)
    assert DEFAULT.attempts == 12
    assert sum(DEFAULT.delays) / 3600 == pytest.approx(22.5, abs=0.1)


def test_each_failed_attempt_has_its_delay_and_the_last_has_none() -> None:
    assert [DEFAULT.after(attempt) for attempt in range(1, 14)] == [*DEFAULT.delays, None, None]


def test_one_attempt_means_no_retry_but_the_steps_exist_for_parking() -> None:
    once = schedule(attempts=1, initial=5, multiplier=3, longest=21600)
    assert (once.attempts, once.delays, once.after(1)) == (1, (), None)
    assert once.steps == BASE_STEPS


@pytest.mark.parametrize(
    ("attempts", "initial", "multiplier", "longest", "delays"),
    [
        (4, 30, 1, 300, (30, 30, 30)),  # WEBHOOK_RETRY_USE_EXPONENTIAL_BACKOFF=false
        (10, 5, 2, 300, (5, 10, 20, 40, 80, 160, 300, 300, 300)),  # Evolution's own
        (4, 0.2, 2, 300, (1, 1, 1)),
        (5, 1.5, 2, 300, (2, 3, 6, 12)),
        (4, 100, 1.1, 300, (100, 110, 121)),  # 100 * 1.1 is 110.00000000000001
        (3, 500, 2, 60, (60, 60)),  # the cap is below the first delay
        (4, 1, 1e300, 21600, (1, 21600, 21600)),
    ],
)
def test_schedules(attempts: int, initial: float, multiplier: float, longest: float, delays: tuple[int, ...]) -> None:
    assert schedule(attempts, initial, multiplier, longest).delays == delays


tenths = st.integers(1, 100_000).map(lambda number: number / 10)


@given(st.integers(1, 40), tenths, st.integers(10, 100).map(lambda number: number / 10), tenths)
def test_a_schedule_follows_its_formula(attempts: int, initial: float, multiplier: float, longest: float) -> None:
    made = schedule(attempts, initial, multiplier, longest)
    exact = [
        min(Fraction(str(initial)) * Fraction(str(multiplier)) ** n, Fraction(str(longest)))
        for n in range(attempts - 1)
    ]
    assert made.attempts == attempts
    for delay, wanted in zip(made.delays, exact, strict=True):
        assert wanted - Fraction(1, 10**6) <= delay < wanted + 1
        assert delay >= 1
    assert list(made.delays) == sorted(made.delays)
    assert set(made.steps) == {*made.delays, *BASE_STEPS}
    assert list(made.steps) == sorted(made.steps)
    assert max(made.delays, default=0) <= ceil(longest)


@pytest.mark.parametrize(
    ("seconds", "step"),
    [
        (-5, 5),
        (0, 5),
        (5, 5),
        (5.01, 15),
        (1215, 1215),
        (1215.5, 3645),
        (3600, 3645),
        (10 * 365 * 86400, 3645),  # Retry-After of ten years
        (inf, 3645),
        (nan, 3645),
    ],
)
def test_covering(seconds: float, step: int) -> None:
    assert DEFAULT.covering(seconds) == step


@given(st.lists(st.integers(1, 30_000)), st.floats())
def test_covering_waits_long_enough_and_no_longer_than_needed(delays: list[int], seconds: float) -> None:
    steps = tuple(sorted({*delays, *BASE_STEPS}))
    step = Schedule(tuple(delays), steps).covering(seconds)
    wanted = min(LONGEST_DELAY, seconds)  # an hour for NaN
    assert step >= wanted
    assert not [shorter for shorter in steps if wanted <= shorter < step]


@pytest.mark.parametrize(("age", "delay"), [(-3, 0), (0, 0), (50, 5), (3000, 300), (86400, 8640)])
def test_a_closed_circuit_is_awaited_for_a_tenth_of_the_age(age: float, delay: float) -> None:
    assert circuit_open_delay(age) == delay


def test_a_delivery_behind_a_day_long_outage_is_touched_a_few_dozen_times() -> None:
    age = touches = 0
    while age < 86400:
        age += DEFAULT.covering(circuit_open_delay(age))
        touches += 1
    assert touches < 72

"""Silence: what is usual for an instance, learned by the hour of the week, and when its owner should hear of none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.proof.silence.month import play
from tests.proof.silence.shops import DAY, MONDAY, PACES, busy_minutes
from worker.domain.silence.habits import HOUR, Habits, Usual, begun, silent

WEEK = 7 * DAY


def every(minutes: int, days: int) -> Habits:
    """Habits after so many days with a message every so many minutes."""
    habits = begun(MONDAY)
    for hour in range(24 * days):
        habits = habits.at(MONDAY + hour * HOUR).message(60 // minutes)
    return habits.at(MONDAY + days * DAY)


STEADY = every(6, 21)
"""Ten busy minutes an hour: by chance alone 6.8 of them can be counted on."""

NOW = float(MONDAY + 21 * DAY)


def test_a_steady_instance_is_silent_after_eight_of_its_usual_gaps() -> None:
    moments = [NOW + minute * 60 for minute in range(120)]
    told = [int(now - NOW) // 60 for now in moments if silent(STEADY, NOW, now, now, connected=True)]
    assert told[0] == 71, "8 / 6.84 an hour"
    assert told == list(range(71, 120))


def test_one_that_is_always_busy_is_silent_after_half_an_hour_and_not_before() -> None:
    busy = every(1, 21)
    assert not silent(busy, NOW, NOW + 1799, NOW + 1799, connected=True)
    assert silent(busy, NOW, NOW + 1800, NOW + 1800, connected=True)


def test_nothing_is_said_of_one_that_is_not_connected() -> None:
    assert not silent(STEADY, NOW - 6 * HOUR, NOW, NOW, connected=False)


def test_nothing_is_said_when_nothing_else_came_since_its_last_message() -> None:
    last = NOW - 6 * HOUR
    assert not silent(STEADY, last, last, NOW, connected=True)
    assert silent(STEADY, last, last + 1, NOW, connected=True)


def test_nothing_is_said_in_the_first_week() -> None:
    almost = every(6, 6)
    assert not almost.learned
    assert not silent(almost, MONDAY + 5 * DAY, MONDAY + 6 * DAY, MONDAY + 6 * DAY, connected=True)
    assert every(6, 7).learned


def test_an_hour_that_was_quiet_is_not_counted_on() -> None:
    assert begun(MONDAY).at(MONDAY + 5 * WEEK).due(NOW - DAY, NOW) == 0
    mixed = Usual().seen(12).seen(0).seen(12).seen(0)
    assert mixed.mean == 6
    assert mixed.variance == 36, "its deviation is as large as its mean: nothing can be counted on"


def test_a_long_absence_is_learned_as_quiet_hours_and_does_not_take_long() -> None:
    later = STEADY.at(NOW + 520 * WEEK)
    assert later.hour == int((NOW + 520 * WEEK) // HOUR)
    assert max(usual.mean for usual in later.usual) <= 10 * 0.75


@given(st.lists(st.integers(0, 10 * WEEK), max_size=30))
def test_time_never_goes_back_and_nothing_is_counted_twice(moments: list[int]) -> None:
    habits = begun(MONDAY)
    for moment in moments:
        before, habits = habits, habits.at(MONDAY + moment)
        assert habits.hour >= before.hour
    assert sum(usual.weeks for usual in habits.usual) <= habits.hour - habits.began


LIMITS = {
    "around the clock": (0, 2),
    "day shop": (0, 3),
    "restaurant": (0, 16),
    "night bar": (0, 24),
    "weekend market": (0, 3),
    "six a day": (0, 120),
    "long talks": (2, 72),
    "busy bot": (0, 1),
    "irregular hours": (3, 48),
    "growing": (0, 24),
}
"""By shop: false alarms in a month at most, and hours until it is noticed at most (a night may lie between)."""


@pytest.mark.parametrize("kind", PACES)
def test_a_month_of_each_kind_of_shop(kind: str) -> None:
    wrong, hours = LIMITS[kind]
    month = busy_minutes(kind, seed=1)
    assert play(month).false_alarms <= wrong
    ends = next(at for at in month if at >= MONDAY + 22 * DAY + 5 * HOUR) + 1.0
    noticed = play(month, ends=ends).noticed_after
    assert noticed is not None
    assert noticed <= hours * HOUR

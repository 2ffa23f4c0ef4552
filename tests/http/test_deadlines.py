"""One timer for all POSTs that may take equally long."""

import asyncio

import pytest

from worker.http.deadlines import Deadlines, Line


class Post:
    def __init__(self, deadline: float, expired: list[float]) -> None:
        self.deadline = deadline
        self._expired = expired

    def expired(self) -> None:
        self._expired.append(self.deadline)


class Timer(asyncio.AbstractEventLoop):
    """A loop whose clock and timers are in the test's hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, object]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when, callback, *args, context=None):  # type: ignore[no-untyped-def]
        self.timers.append((when, callback))
        return object()

    def move(self, to: float) -> None:
        self.now = to
        due, self.timers = ([timer for timer in self.timers if timer[0] <= to], [t for t in self.timers if t[0] > to])
        for _, callback in due:
            callback()  # type: ignore[operator]


@pytest.fixture
def timer() -> Timer:
    return Timer()


def test_each_expires_at_its_deadline_and_one_timer_runs_for_all(timer: Timer) -> None:
    line, expired = Line(timer), []  # type: ignore[var-annotated]
    for deadline in (110.0, 111.0, 112.0):
        line.add(Post(deadline, expired))
        assert len(timer.timers) == 1
    timer.move(110.0)
    assert (expired, len(timer.timers)) == ([110.0], 1)
    timer.move(115.0)
    assert (expired, timer.timers) == ([110.0, 111.0, 112.0], [])


def test_what_has_ended_expires_no_more_and_those_behind_it_still_do(timer: Timer) -> None:
    line, expired = Line(timer), []  # type: ignore[var-annotated]
    first, second = Post(110.0, expired), Post(111.0, expired)
    line.add(first)
    line.add(second)
    line.remove(first)
    timer.move(110.0)
    assert (expired, [when for when, _ in timer.timers]) == ([], [111.0])
    line.remove(second)
    timer.move(111.0)
    assert (expired, timer.timers) == ([], [])
    line.add(Post(120.0, expired))
    timer.move(120.0)
    assert expired == [120.0]


def test_lines_are_bounded_and_one_that_was_dropped_still_ends_its_own(timer: Timer) -> None:
    deadlines, expired = Deadlines(timer), []  # type: ignore[var-annotated]
    assert deadlines.line(5.0) is deadlines.line(5.0)
    deadlines.line(5.0).add(Post(105.0, expired))
    for number in range(Deadlines.MOST_LINES):
        deadlines.line(10.0 + number)
    assert len(deadlines._lines) == Deadlines.MOST_LINES
    timer.move(105.0)
    assert expired == [105.0]

"""When an instance is silent: it is connected and other events come, but no message, though some should have by now.

What is usual is learned by the hour of the week: a shop that closes at night has no messages then, every night. Counted
are the minutes in which messages came, not the messages: one talk of fifty is one busy minute, not fifty.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import sqrt
from typing import NamedTuple

HOUR = 3600
WEEK_HOURS = 168

USUAL_GAPS = 8.0
"""So many busy minutes must have been due since the last message: eight times the usual gap at a steady pace."""

SHORTEST_SILENCE = 30 * 60.0

LEARNED_HOURS = WEEK_HOURS
"""Before a whole week has been seen nothing is said: nobody knows yet which hours are quiet."""

SURE_WEEKS = 3
"""So often an hour of the week must have been seen to speak for itself."""

NEWEST_SHARE = 0.25
"""Of the newest week in what is usual; the first weeks count alike."""


class Usual(NamedTuple):
    """What is usual in one hour of the week: busy minutes, mean and mean of the squares over `weeks` of them."""

    weeks: int = 0
    mean: float = 0.0
    square: float = 0.0

    def seen(self, busy: int) -> "Usual":
        """One more week's hour."""
        share = max(1 / (self.weeks + 1), NEWEST_SHARE)
        mean = self.mean + share * (busy - self.mean)
        square = self.square + share * (busy * busy - self.square)
        return Usual(self.weeks + 1, mean, square)

    @property
    def variance(self) -> float:
        """Of the busy minutes; at least that of chance alone (Poisson)."""
        return max(self.mean, self.square - self.mean**2)


@dataclass(frozen=True, slots=True)
class Habits:
    """When an instance usually gets messages. `hour` is the one under way, in hours since 1970, UTC; its `busy` minutes
    are not learned yet. Not known: an hour that has never been seen is quiet."""

    hour: int
    began: int
    busy: int = 0
    usual: tuple[Usual, ...] = (Usual(),) * WEEK_HOURS

    @property
    def learned(self) -> bool:
        """Whether a whole week has been seen."""
        return self.hour - self.began >= LEARNED_HOURS

    def at(self, moment: float) -> "Habits":
        """Time has come to `moment` (Unix seconds): hours that have ended are learned, the quiet ones too."""
        hour = int(moment // HOUR)
        if hour <= self.hour:
            return self
        usual = list(self.usual)
        for ended in range(max(self.hour, hour - WEEK_HOURS), hour):
            usual[ended % WEEK_HOURS] = usual[ended % WEEK_HOURS].seen(self.busy if ended == self.hour else 0)
        return replace(self, hour=hour, busy=0, usual=tuple(usual))

    def message(self, minutes: int) -> "Habits":
        """So many more minutes of the hour under way had messages."""
        return self.with_busy(min(60, self.busy + minutes))

    def with_busy(self, minutes: int) -> "Habits":
        """So many minutes of the hour under way had messages."""
        return replace(self, busy=minutes)

    def due(self, since: float, until: float) -> float:
        """Busy minutes that could be counted on between two moments, Unix seconds.

        The larger of two: what each hour promises by itself (its mean less a deviation), which tells soon where hours
        are regular; and all of them together (less two deviations), for those that get a few messages a day.
        """
        mean = variance = each = 0.0
        for hour, share in _hours(since, until):
            usual, spread = self._expected(hour)
            mean += usual * share
            variance += spread * share
            each += max(0.0, usual - sqrt(spread)) * share
        return max(each, mean - 2 * sqrt(variance))

    def _expected(self, hour: int) -> tuple[float, float]:
        """Mean and variance. One or two weeks say little of an hour: the same hour of the other days is asked too."""
        own = self.usual[hour % WEEK_HOURS]
        if own.weeks >= SURE_WEEKS:
            return own.mean, own.variance
        alike = [self.usual[day % WEEK_HOURS] for day in range(hour, hour + WEEK_HOURS, 24)]
        mean = sum(day.mean for day in alike) / len(alike)
        spread = sum(day.square for day in alike) / len(alike) - mean**2
        return min(own.mean, mean), max(own.variance, spread)


def begun(moment: float) -> Habits:
    """Of an instance whose first event came then."""
    hour = int(moment // HOUR)
    return Habits(hour=hour, began=hour)


def silent(habits: Habits, last_message: float, last_other: float, now: float, *, connected: bool) -> bool:
    """Whether its owner should hear of it. Moments are Unix seconds; `habits` are as of the last message: the quiet
    hours since then are not learned before it is known whether they were usual.

    `connected`: its last `connection.update` says open. Without other events after the last message nothing is said:
    Evolution itself, or the way from it, may be down, which others alarms tell.
    """
    if not connected or not habits.learned or last_other <= last_message:
        return False
    if now - last_message < SHORTEST_SILENCE:
        return False
    return habits.due(last_message, now) >= USUAL_GAPS


def _hours(since: float, until: float) -> Iterator[tuple[int, float]]:
    """Each hour between two moments, and which share of it; no more than the last week of it."""
    since = max(since, until - WEEK_HOURS * HOUR)
    for hour in range(int(since // HOUR), int(until // HOUR) + 1):
        share = (min(until, (hour + 1) * HOUR) - max(since, hour * HOUR)) / HOUR
        if share > 0:
            yield hour, share

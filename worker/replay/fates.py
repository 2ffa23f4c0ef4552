"""What the history shows of a delivery, for whoever asks whether it is to be sent again. Pure."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from worker.domain.history import REPLAYED
from worker.domain.outcome import DeadLettered, Delivered, Parked, Retried, Skipped, SkipReason

_WAITS = frozenset({Retried.__name__, Parked.__name__})
_BY_CHOICE = frozenset({SkipReason.STALE.value, SkipReason.SUPERSEDED.value, SkipReason.DUPLICATE.value})


CLOCKS_MS = 10_000
"""By which two replicas' clocks may differ: so close rows are ordered by the attempt that they tell of."""


class Moment(NamedTuple):
    """A row of the history: `at` is Unix milliseconds, `attempt` its number. `by`: what a REPLAYED row says, see
    published_by."""

    id: str
    at: int
    outcome: str
    reason: str
    attempt: int = 0
    by: str | None = None


def published_by(job: str) -> str:
    """What the row of an event says that this job has published."""
    return f"published again by {job}"


class Rows(Protocol):
    """The history as a replay asks it. Every call may raise StoreUnavailable."""

    async def moments(self, ids: Sequence[str]) -> Sequence[Moment]:
        """All rows of these deliveries."""

    async def skipped(self, instance: str, webhook: str, reasons: Sequence[str], since: int) -> int:
        """How many deliveries of the webhook were skipped for one of the reasons since then, Unix milliseconds."""


class Fate(Enum):
    """MISSING: to be sent. DELIVERED: a 2xx came. WAITS: it will be tried by itself. OVER: its webhook chose so."""

    MISSING = "missing"
    DELIVERED = "delivered"
    WAITS = "waits"
    OVER = "over"


class Fates:
    """Of some deliveries. `moments` in any order; a delivery that has none is MISSING."""

    def __init__(self, moments: Iterable[Moment]) -> None:
        self._of: dict[str, list[Moment]] = {}
        for moment in sorted(moments, key=lambda moment: moment.at):
            self._of.setdefault(moment.id, []).append(moment)

    def of(self, delivery_id: str, waits_since: int) -> Fate:
        """What waits no longer than since then (Unix ms): an older one has ended by its age."""
        moments = self._of.get(delivery_id)
        if moments is None:
            return Fate.MISSING
        if any(moment.outcome == Delivered.__name__ for moment in moments):
            return Fate.DELIVERED
        last = _last(moments)
        if last.outcome in _WAITS and last.at >= waits_since:
            return Fate.WAITS
        if last.outcome == Skipped.__name__ and last.reason in _BY_CHOICE:
            return Fate.OVER
        return Fate.MISSING

    def sent_since(self, delivery_id: str, since: int) -> bool:
        """Whether it was published or delivered since then: by the job that asks, or beside it. By replicas'
        clocks."""
        return any(
            moment.at >= since and (moment.outcome == Delivered.__name__ or moment.reason == REPLAYED)
            for moment in self._of.get(delivery_id, ())
        )

    def sent_by(self, delivery_id: str, job: str) -> bool:
        """Whether this job has published it."""
        named = published_by(job)
        return any(moment.by == named for moment in self._of.get(delivery_id, ()))

    def skipped_since(self, delivery_id: str, reasons: Iterable[str], since: int) -> bool:
        wanted = frozenset(reasons)
        return any(
            moment.at >= since and moment.outcome == Skipped.__name__ and moment.reason in wanted
            for moment in self._of.get(delivery_id, ())
        )

    def is_parked(self, delivery_id: str) -> bool:
        """Whether a worker has it, and waits for its receiver."""
        moments = self._of.get(delivery_id, [])
        return any(last.outcome == Parked.__name__ and last.reason != REPLAYED for last in moments[-1:])

    def tries(self, delivery_id: str) -> int:
        """Rows of the worker's own: each end or attempt. One more than before means that it has been taken since, by
        whatever clock."""
        return sum(
            moment.reason != REPLAYED and moment.outcome in _ENDS_OR_TRIES for moment in self._of.get(delivery_id, ())
        )


_ENDS_OR_TRIES = frozenset({Delivered.__name__, Skipped.__name__, DeadLettered.__name__, Retried.__name__})


def _last(moments: Sequence[Moment]) -> Moment:
    """In order of time, but for an end that a slower clock dates before the attempt, or the wait, which it ended.

    Not across a replay: with it a delivery begins anew.
    """
    last = moments[-1]
    if last.outcome not in _WAITS:
        return last
    for earlier in reversed(moments):
        if earlier.reason == REPLAYED or earlier.at < last.at - CLOCKS_MS:
            break
        if earlier.outcome in _ENDS and earlier.attempt > last.attempt:
            return earlier
    return last


_ENDS = frozenset({Skipped.__name__, DeadLettered.__name__})

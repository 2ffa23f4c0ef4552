"""What the history shows of a batch of candidates, as one job sees it."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from worker.domain.outcome import SkipReason
from worker.replay.fates import Fate, Fates, Moment
from worker.replay.jobs import Job
from worker.replay.selection import Candidate

SKIPPED = (SkipReason.PAUSED.value, SkipReason.DISABLED.value)
"""Why a webhook missed what its resume sends."""


class Judged:
    """`waits_since`, Unix ms: what waits for a retry since an earlier time has ended by its age. Pure."""

    def __init__(self, job: Job, moments: Iterable[Moment], waits_since: int) -> None:
        self._job = job
        self._fates = Fates(moments)
        self._waits_since = waits_since

    @classmethod
    async def asked(
        cls,
        moments: Callable[[Sequence[str]], Awaitable[Sequence[Moment]]],
        job: Job,
        batch: Sequence[Candidate],
        waits_since: int,
    ) -> "Judged":
        """Raises StoreUnavailable."""
        return cls(job, await moments([each.id for each in batch]), waits_since)

    def fate(self, candidate: Candidate) -> Fate:
        """With `everything` what was delivered is MISSING, unless the job itself has sent it; what waits for its retry
        comes by itself."""
        found = self._fates.of(candidate.id, self._waits_since)
        if not self._job.asked.everything:
            return found
        if self._sent(candidate):
            return Fate.DELIVERED
        return Fate.WAITS if found is Fate.WAITS else Fate.MISSING

    def to_be_sent(self, batch: Sequence[Candidate]) -> list[Candidate]:
        return [each for each in batch if self._is_to_be_sent(each)]

    def _is_to_be_sent(self, candidate: Candidate) -> bool:
        if self.fate(candidate) is not Fate.MISSING or self._sent(candidate):
            return False
        return not self._job.older or self.was_skipped(candidate)

    def was_skipped(self, candidate: Candidate) -> bool:
        """For being paused or disabled, since the job's range began."""
        return self._fates.skipped_since(candidate.id, SKIPPED, self._job.asked.since)

    def tries(self, candidate: Candidate) -> int:
        return self._fates.tries(candidate.id)

    def _sent(self, candidate: Candidate) -> bool:
        """With `everything` by the job itself: what was delivered just before it was asked for is to come again."""
        if self._fates.sent_by(candidate.id, self._job.id):
            return True
        return not self._job.asked.everything and self._fates.sent_since(candidate.id, self._job.created_at)

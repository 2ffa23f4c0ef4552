"""What became of what a replay has published, as the history shows it: sent is not delivered."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from worker.domain.history import REPLAYED
from worker.domain.outcome import DeadLettered, Delivered, Skipped
from worker.history.store import LARGEST_PAGE, Cursor, Page, Question
from worker.replay.fates import CLOCKS_MS, Moment, Rows, published_by
from worker.replay.jobs import Job


class Became(NamedTuple):
    """How many of its deliveries have ended how. `waits`: these have not ended, or their row is still on its way."""

    delivered: int = 0
    given_up: int = 0
    skipped: int = 0
    waits: int = 0

    @property
    def of(self) -> int:
        return sum(self)


class History(Rows, Protocol):
    """What is asked here. Both calls may raise StoreUnavailable."""

    async def page(self, question: Question, after: Cursor | None, limit: int) -> Page: ...


async def asked(history: History, job: Job) -> Became:
    """Of the newest deliveries that it published, as many as one page has: whoever looks need not count them all."""
    wanted, until = job.asked, job.ended_at + CLOCKS_MS if job.ended_at is not None else None
    its = Question(
        owner=wanted.instance,
        instance=wanted.instance,
        webhook=wanted.webhook,
        reason=REPLAYED,
        since=job.created_at - CLOCKS_MS,
        until=until,
    )
    page, named = await history.page(its, None, LARGEST_PAGE), published_by(job.id)
    published = {kept.row.id: kept.row.at for kept in page.items if kept.row.error == named}
    return counted(published, await history.moments(tuple(published)))


def counted(published: Mapping[str, int], moments: Iterable[Moment]) -> Became:
    """`published`: when each delivery was, Unix ms. What happened to it before is not counted."""
    ends = dict.fromkeys(published, "")
    for moment in sorted(moments, key=lambda moment: moment.at):
        since = published[moment.id] - CLOCKS_MS
        if moment.reason != REPLAYED and moment.at >= since and ends[moment.id] != Delivered.__name__:
            ends[moment.id] = moment.outcome
    count = Counter(ends.values())
    delivered, given_up, skipped = (count.pop(outcome.__name__, 0) for outcome in (Delivered, DeadLettered, Skipped))
    return Became(delivered, given_up, skipped, waits=count.total())

"""Publishes what a job is to send, a batch at a time, no faster than its webhook takes events."""

import asyncio
from collections.abc import Awaitable, Sequence

from worker.delivery.ports import TooLarge
from worker.domain.choosing.quick_chat import quick_chat
from worker.domain.history import REPLAYED, Row
from worker.domain.outcome import DeadLettered, DeadReason, Parked
from worker.domain.past import Past
from worker.replay.fates import Fates, published_by
from worker.replay.jobs import Ahead, Job
from worker.replay.judged import Judged
from worker.replay.leased import LeasedJob
from worker.replay.outside import Outside, Publish
from worker.replay.pace import LEAST, Pace
from worker.replay.selection import Candidate
from worker.replay.times import Times

LOOK_SECONDS = 0.25
"""The longest rest between two questions whether there is room for more."""

TOGETHER = 25
"""Of a batch, under way to RabbitMQ at once."""

SILENT_SECONDS = 60.0
"""Until an event is waited for no more of which the history says nothing: its row was lost, or no worker runs."""

PARKED_SECONDS = 900.0
"""As SILENT_SECONDS, of one that is parked: of its later parkings there is no row."""


class Sender:
    """Of one job, on one connection. `times`: when archived events came."""

    def __init__(self, outside: Outside, publish: Publish, leased: LeasedJob, times: Times) -> None:
        self._outside = outside
        self._publish = publish
        self._leased = leased
        self._times = times
        self._now, self._monotonic = outside.clocks
        now, monotonic, job = self._now(), self._monotonic(), leased.job
        before = [(each.id, monotonic - max(0.0, now - each.at / 1000)) for each in job.ahead]
        self._pace = Pace(job.asked.rate, monotonic, before)
        self._tries = {each.id: each.tries for each in job.ahead}

    def most(self) -> int:
        """How many may be sent together now."""
        return self._pace.batch

    def ahead(self) -> tuple[Ahead, ...]:
        """Of what may not have been taken, so much as holds back whoever goes on with the job."""
        since = self._now() - self._monotonic()
        newest = self._pace.newest(LEAST)
        return tuple(Ahead(each, self._tries[each], int((since + at) * 1000)) for each, at in newest)

    async def give_way(self) -> None:
        """Raises OthersWait when it is another job's turn."""
        await self._leased.give_way(self._pace.rest(self._monotonic()))

    async def send(self, chosen: Sequence[Candidate], judged: Judged) -> int:
        """Publishes them and writes their rows; how many RabbitMQ has taken. Raises PublishFailed, StoreUnavailable,
        JobLost, JobStopped and what a broken connection raises."""
        published = await self._published(chosen)
        self._tries |= {each.id: judged.tries(each) for each in published}
        return len(published)

    async def room(self, count: int) -> float:
        """Waits until so many more may be published; for how many seconds.

        Raises StoreUnavailable, JobLost, JobStopped, OthersWait.
        """
        began = self._monotonic()
        while count and (seconds := self._pace.wait(self._monotonic(), count)) > 0:
            if seconds == float("inf"):
                await self._ask_what_was_taken()
            await self._leased.rest(min(seconds, LOOK_SECONDS))
            await self.give_way()
        return self._monotonic() - began

    async def _ask_what_was_taken(self) -> None:
        ahead = self._pace.ahead
        fates = Fates(await self._outside.moments(ahead))
        taken = {each for each in ahead if fates.tries(each) > self._tries[each]}
        now = self._monotonic()
        self._pace.taken(taken, now)
        parked = set(filter(fates.is_parked, self._pace.ahead))
        silent = (set(self._pace.silent(now, SILENT_SECONDS)) - parked) | set(self._pace.silent(now, PARKED_SECONDS))
        self._pace.given_up(silent)
        for each in taken | silent:
            del self._tries[each]

    async def _published(self, chosen: Sequence[Candidate]) -> list[Candidate]:
        """What is larger than RabbitMQ takes now is left out: it has its row in the history, and stops nothing."""
        if not chosen:
            return []
        now = self._now()
        await self._leased.sure()
        answers = list(zip(chosen, await self._leased.beside(self._confirmed(chosen, now)), strict=True))
        published = [each for each, refusal in answers if refusal is None]
        self._pace.published([each.id for each in published], self._monotonic())
        await self._outside.note([_row(each, self._leased.job, int(now * 1000), refusal) for each, refusal in answers])
        return published

    async def _confirmed(self, chosen: Sequence[Candidate], now: float) -> list[TooLarge | None]:
        """What RabbitMQ said of each. A few at a time: all at once would reach the worker at once, and hold up whatever
        else comes for as long as it takes them."""
        answers: list[TooLarge | None] = []
        for first in range(0, len(chosen), TOGETHER):
            some = chosen[first : first + TOGETHER]
            publishing = (_taken(self._publish(each.archived.body, self._past(each, now))) for each in some)
            answers += await asyncio.gather(*publishing)
        return answers

    def _past(self, candidate: Candidate, now: float) -> Past:
        archived = candidate.archived
        return Past(
            candidate.event_id,
            self._times.of(archived.offset, now),
            archived.exchange,
            archived.routing_key,
            self._leased.job.asked.webhook,
            replayed=now,
        )


async def _taken(publishing: Awaitable[object]) -> TooLarge | None:
    """Raises PublishFailed for every other reason."""
    try:
        await publishing
    except TooLarge as error:
        return error
    return None


def _row(candidate: Candidate, job: Job, now: int, refusal: TooLarge | None) -> Row:
    """What the history shows of the asking: until the next row it is on its way, unless the broker refused it."""
    event = candidate.event
    why = published_by(job.id)
    if refusal is not None:
        why = f"not published again by {job.id}: {refusal}; raise it, then replay once more"
    return Row(
        at=now,
        id=candidate.id,
        event_id=candidate.event_id,
        instance=event.instance,
        webhook=job.asked.webhook,
        event=event.kind,
        chat=quick_chat(event.fields),
        outcome=(Parked if refusal is None else DeadLettered).__name__,
        reason=REPLAYED if refusal is None else DeadReason.TOO_LARGE_FOR_BROKER.value,
        attempt=0,
        status=None,
        ms=None,
        error=why,
        answer=None,
        content_type=None,
        size=len(candidate.archived.body),
        host=None,
    )

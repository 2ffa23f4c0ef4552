"""Runs a replay: counts what is missing, then publishes it to `retries` for its one webhook, a batch at a time.

Progress is kept with each batch: after a crash another process goes on, and asks the history about the batch in doubt.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass

from msgspec.structs import replace

from worker.basics.clock import Clocks
from worker.domain.choosing.quick_chat import quick_chat
from worker.domain.choosing.subscriptions import Look, Subscriptions
from worker.domain.event import Event
from worker.domain.history import REPLAYED, Row
from worker.domain.outcome import Parked, SkipReason
from worker.domain.past import Past
from worker.domain.webhook import Webhook
from worker.replay.archive import Archive, Archived, Begin
from worker.replay.fates import Fate, Fates, Moment
from worker.replay.jobs import Counts, Held, Job, JobStore, Kind, State
from worker.replay.pace import Pace
from worker.replay.selection import Candidate, Gone, Selection
from worker.replay.times import Times

log = logging.getLogger(__name__)

LEASE_SECONDS = 20.0
"""Of a job in the hands of a process: so long after its death another one goes on."""
RENEW_SECONDS = 5.0
"""Between two looks at what was taken, and at whether the job is to stop."""

COUNTED = 500
"""Events whose fate is asked for together while counting."""

RELOAD_SECONDS = 10.0
"""How old the webhook may be that events are chosen for."""

SETTLE_SECONDS = 3.0
"""Until the history shows what became of an event: younger ones are not judged yet, as they may be under way."""

CHUNK_SECONDS = 1.0
"""How early the archive may begin for a moment."""

DEBT_SECONDS = 0.005
"""Of rest that has come together before it is taken: an event loop's timers are no finer than a millisecond."""

READ_SECONDS = 50e-6
"""Of a processor, for reading one event: what comes beside choosing it."""

HOLE = 2
"""Between the numbers of neighbours: a stream leaves one out at the end of a segment."""

SKIPPED = (SkipReason.PAUSED.value, SkipReason.DISABLED.value)

Publish = Callable[[bytes, Past], Awaitable[object]]
"""To `retries`; returns once it is confirmed. Raises PublishFailed."""


class GapFound(Exception):
    """The archive has lost a part of the range; the text says which."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What a replay needs of others. `opened` gives the archive, and how to publish, on a connection for one run.

    `moments` are the history's rows of some deliveries; `note` writes rows; `skipped` counts the deliveries of a
    webhook that were skipped since then (Unix ms). `load`, `moments`, `note` and `skipped` may raise StoreUnavailable.
    """

    jobs: JobStore
    opened: Callable[[], AbstractAsyncContextManager[tuple[Archive, Publish]]]
    load: Callable[[str], Awaitable[Sequence[Webhook]]]
    operators: Webhook | None
    look: Callable[[Event, Sequence[Webhook], Subscriptions], Look]
    moments: Callable[[Sequence[str]], Awaitable[Sequence[Moment]]]
    note: Callable[[Sequence[Row]], Awaitable[None]]
    skipped: Callable[[str, str, Sequence[str], int], Awaitable[int]]
    clocks: Clocks
    max_age: float


class Runner:
    """Runs one job that this process holds, to its end. `share`: of a processor, beside deliveries."""

    def __init__(self, outside: Outside, held: Held, share: float = 1.0) -> None:
        self._outside = outside
        self._held = held
        self._share = share
        self._now, self._monotonic = outside.clocks
        self._tries: dict[str, int] = {}
        asked = held.job.asked
        self._selection = Selection(asked, outside.operators, outside.look)
        self._pace = Pace(asked.rate, self._monotonic())
        self._reloaded = self._kept = float("-inf")
        self._debt = 0.0
        self._times = Times(())

    async def run(self) -> Job:
        """Returns the job as it ended, or FAILED. Raises JobLost, JobStopped, NotNow, StoreUnavailable,
        PublishFailed, ArchiveStalled and what a broken connection raises: then it goes on later."""
        try:
            await self._reload()
            async with self._outside.opened() as (archive, publish):
                await self._begun(archive)
                if self._job.asked.kind is Kind.REPLAY and self._job.counts is None:
                    await self._count(archive)
                if not self._job.asked.dry_run:
                    await self._send_all(archive, publish)
        except (Gone, GapFound) as error:
            return await self.end(State.FAILED, str(error))
        return await self.end(State.DONE, None)

    async def end(self, state: State, error: str | None) -> Job:
        """The job ends so, for good. Raises JobLost, StoreUnavailable."""
        await self._keep(replace(self._job, state=state, error=error, ended_at=self._ms()))
        return self._job

    async def release(self, why: str | None, free_at: int) -> None:
        """Somebody may go on with it from `free_at` on, Unix ms. Raises JobLost, JobStopped, StoreUnavailable."""
        jobs = self._outside.jobs
        self._held = await jobs.keep_job(self._held, replace(self._job, error=why), free_at)

    @property
    def _job(self) -> Job:
        return self._held.job

    async def _begun(self, archive: Archive) -> None:
        """Finds where the range begins, once. That the archive has no more of it is said, and stops nothing: who
        resumes a webhook was asked before."""
        job = self._job
        begin = await archive.begin(job.asked.since / 1000)
        if job.start is None:
            gone = begin.gone(job.asked.since) if isinstance(begin, Begin) else None
            start = begin.offset if isinstance(begin, Begin) else await archive.first()
            await self._keep(replace(job, start=start, gone=gone))
        if (await self._reload()).ttl_seconds:
            self._times = await Times.asked(archive, begin.end, job.asked.since, min(job.asked.until, self._ms()))

    # Counting.

    async def _count(self, archive: Archive) -> None:
        await self._keep(replace(self._job, state=State.COUNTING))
        self._selection.start_over()
        found: dict[Fate, int] = dict.fromkeys(Fate, 0)
        assert self._job.start is not None
        await self._settled()
        end = await archive.mark()
        before = await self._edge(archive, end)
        async for batch, _ in self._batches(archive, self._job.start, end, before, lambda: COUNTED):
            fates = Fates(await self._outside.moments([each.id for each in batch]))
            for candidate in batch:
                found[self._fate(fates, candidate)] += 1
            await self._renewed()
        counts = Counts(sum(found.values()), found[Fate.DELIVERED], found[Fate.WAITS], found[Fate.MISSING])
        await self._keep(replace(self._job, counts=counts))

    def _fate(self, fates: Fates, candidate: Candidate) -> Fate:
        """As the job sees it: with `everything` only what itself has sent is not MISSING."""
        job = self._job
        if job.asked.everything:
            return Fate.DELIVERED if fates.sent_since(candidate.id, job.created_at) else Fate.MISSING
        return fates.of(candidate.id, int(self._ms() - self._outside.max_age * 1000))

    # Sending.

    async def _send_all(self, archive: Archive, publish: Publish) -> None:
        """The range; of a RESUME then what history shows as skipped and was not met: it was taken late."""
        job = self._job
        self._selection.start_over()
        if job.state is not State.SENDING:
            await self._keep(replace(job, state=State.SENDING, position=job.start))
        while not self._job.older:
            left = self._unsettled()
            end = await archive.mark()
            await self._send(archive, publish, end, await self._edge(archive, end))
            if left <= 0:
                break
            await self._rest(min(RENEW_SECONDS, left))
        if self._job.asked.kind is Kind.RESUME:
            await self._send_older(archive, publish)

    async def _send_older(self, archive: Archive, publish: Publish) -> None:
        job = self._job
        if not job.older:
            asked = job.asked
            skipped = await self._outside.skipped(asked.instance, asked.webhook, SKIPPED, asked.since)
            if skipped <= job.skipped:
                return
            await self._keep(replace(job, older=True, position=await archive.first()))
            self._selection.start_over()
        await self._send(archive, publish, await archive.mark(), self._job.start)

    async def _send(self, archive: Archive, publish: Publish, end: str, before: int | None) -> None:
        assert self._job.position is not None
        async for batch, after in self._batches(archive, self._job.position, end, before, lambda: self._pace.batch):
            fates = Fates(await self._outside.moments([each.id for each in batch]))
            met = sum(fates.skipped_since(each.id, SKIPPED, self._job.asked.since) for each in batch)
            chosen = [each for each in batch if self._sends(fates, each)]
            await self._room(len(chosen))
            await self._published(chosen, publish)
            self._tries |= {each.id: fates.tries(each.id) for each in chosen}
            sent = self._job.sent + len(chosen)
            await self._keep(replace(self._job, position=after, sent=sent, skipped=self._job.skipped + met))

    def _sends(self, fates: Fates, candidate: Candidate) -> bool:
        job = self._job
        if self._fate(fates, candidate) is not Fate.MISSING or fates.sent_since(candidate.id, job.created_at):
            return False
        return not job.older or fates.skipped_since(candidate.id, SKIPPED, job.asked.since)

    async def _published(self, chosen: Sequence[Candidate], publish: Publish) -> None:
        if not chosen:
            return
        now = self._now()
        await asyncio.gather(*(publish(each.archived.body, self._past(each, now)) for each in chosen))
        self._pace.published([each.id for each in chosen], self._monotonic())
        await self._outside.note([_row(each, self._job, int(now * 1000)) for each in chosen])

    def _past(self, candidate: Candidate, now: float) -> Past:
        archived = candidate.archived
        return Past(
            candidate.event_id,
            self._times.of(archived.offset, now),
            archived.exchange,
            archived.routing_key,
            self._job.asked.webhook,
            replayed=now,
        )

    async def _room(self, count: int) -> None:
        """Waits until so many more may be published."""
        while (seconds := self._pace.wait(self._monotonic(), count)) > 0:
            ahead = self._pace.ahead
            if seconds == float("inf"):
                fates = Fates(await self._outside.moments(ahead))
                taken = {each for each in ahead if fates.tries(each) > self._tries[each]}
                self._pace.taken(taken, self._monotonic())
                for each in taken:
                    del self._tries[each]
            await self._rest(min(seconds, 0.25))

    # Reading.

    def _unsettled(self) -> float:
        """Seconds until all of the range can be judged; 0 or less: now."""
        return self._job.asked.until / 1000 + SETTLE_SECONDS + CHUNK_SECONDS - self._now()

    async def _settled(self) -> None:
        while (left := self._unsettled()) > 0:
            await self._rest(min(RENEW_SECONDS, left))

    async def _edge(self, archive: Archive, end: str) -> int | None:
        """The offset at which the range ends, or what is too young to be judged begins; None: at the mark `end`."""
        edge = min(self._job.asked.until / 1000 + CHUNK_SECONDS, self._now() - SETTLE_SECONDS)
        return await archive.offset_at(edge, end)

    async def _batches(
        self, archive: Archive, offset: int, end: str, before: int | None, size: Callable[[], int]
    ) -> AsyncIterator[tuple[list[Candidate], int]]:
        """Candidates in front of the offset `before` and of the mark `end`, and the offset behind them; `size` of them,
        which may change meanwhile.

        An empty batch every 10,000 events says how far it has come."""
        batch: list[Candidate] = []
        looked = 0
        following = offset
        async with aclosing(archive.events(offset, end)) as events:
            async for archived in events:
                if before is not None and archived.offset >= before:
                    break
                if archived.offset - following > HOLE:
                    await self._jumped(archive, following)
                following = archived.offset + 1
                looked += 1
                candidate = await self._chosen(archived)
                if candidate is not None:
                    batch.append(candidate)
                if len(batch) >= size() or looked % 10_000 == 0:
                    yield batch, following
                    batch = []
        yield batch, following

    async def _chosen(self, archived: Archived) -> Candidate | None:
        if self._monotonic() - self._reloaded > RELOAD_SECONDS:
            await self._reload()
        began = self._monotonic()
        found = self._selection.of(archived)
        spent = self._monotonic() - began + READ_SECONDS
        self._debt += spent / self._share - spent
        if self._debt > DEBT_SECONDS:
            await asyncio.sleep(self._debt)
            self._debt = 0.0
        return found

    async def _jumped(self, archive: Archive, following: int) -> None:
        """A reader that was overtaken by the archive's end is told nothing."""
        first = await archive.first()
        if first <= following:
            return
        gone = f"the archive lost its events {following} to {first - 1} by its bounds before they were read"
        await self._keep(replace(self._job, gone=gone))
        if not self._job.older and not self._job.asked.accept_gap:
            raise GapFound(f"{gone}; accept that (--accept-gap) to have what is left")

    async def _reload(self) -> Webhook:
        self._reloaded = self._monotonic()
        return self._selection.use(await self._outside.load(self._job.asked.instance))

    # Keeping.

    async def _rest(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))
        await self._renewed()

    async def _renewed(self) -> None:
        if self._monotonic() - self._kept > RENEW_SECONDS:
            await self._reload()
            await self._keep(self._job)

    async def _keep(self, job: Job) -> None:
        self._held = await self._outside.jobs.keep_job(self._held, job, self._ms() + int(LEASE_SECONDS * 1000))
        self._kept = self._monotonic()

    def _ms(self) -> int:
        return int(self._now() * 1000)


def new_id() -> str:
    return f"replay_{secrets.token_hex(8)}"


def _row(candidate: Candidate, job: Job, now: int) -> Row:
    """What the history shows of the asking: until the next row it is on its way."""
    event = candidate.event
    return Row(
        at=now,
        id=candidate.id,
        event_id=candidate.event_id,
        instance=event.instance,
        webhook=job.asked.webhook,
        event=event.kind,
        chat=quick_chat(event.fields),
        outcome=Parked.__name__,
        reason=REPLAYED,
        attempt=0,
        status=None,
        ms=None,
        error=f"published again by {job.id}",
        answer=None,
        content_type=None,
        size=len(candidate.archived.body),
        host=None,
    )

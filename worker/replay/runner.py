"""Runs a replay: counts what is missing, then publishes it to `retries` for its one webhook, a batch at a time.

Progress is kept with each batch: after a crash another process goes on, and asks the history about the batch in doubt.
"""

import secrets
from collections.abc import Sequence

from msgspec.structs import replace

from worker.replay.archive import Archive, Begin
from worker.replay.current import CurrentSelection
from worker.replay.jobs import Held, Job, Kind, State
from worker.replay.judged import SKIPPED, Judged
from worker.replay.leased import RENEW_SECONDS, LeasedJob
from worker.replay.outside import Outside
from worker.replay.reader import SETTLE_SECONDS, GapFound, Reader
from worker.replay.selection import Candidate, Gone
from worker.replay.sender import Sender
from worker.replay.times import Times

COUNTED = 500
"""Events whose fate is asked for together while counting."""

STALE_SECONDS = 1.0
"""After which what history said of a batch is asked anew: somebody may have redriven some of it meanwhile."""


class Runner:
    """Runs one job that this process holds, to its end. `share`: of a processor, beside deliveries; `takes_turns`: with
    other jobs, which it makes room for."""

    def __init__(self, outside: Outside, held: Held, share: float = 1.0, *, takes_turns: bool = False) -> None:
        self._outside = outside
        self._selection = CurrentSelection(outside, held.job.asked, share)
        self._leased = LeasedJob(outside.jobs, held, outside.clocks, self._selection.reload, takes_turns=takes_turns)

    async def run(self) -> Job:
        """Returns the job as it ended, or FAILED. Raises JobLost, JobStopped, OthersWait, NotNow,
        StoreUnavailable, PublishFailed, ArchiveStalled and what a broken connection raises: then it goes on later."""
        try:
            webhook = await self._selection.reload()
            opened = self._outside.opened_in_order if webhook.sent_in_order else None
            async with (opened or self._outside.opened)() as (archive, publish):
                times = await self._begun(archive)
                reader = Reader(archive, self._leased, self._selection, self._outside.clocks)
                if self._job.asked.kind is Kind.REPLAY and self._job.counts is None:
                    await self._count(reader)
                if not self._job.asked.dry_run:
                    await self._send_all(reader, Sender(self._outside, publish, self._leased, times))
        except (Gone, GapFound) as error:
            return await self._leased.end(State.FAILED, str(error))
        return await self._leased.end(State.DONE, None)

    async def end(self, state: State, error: str | None) -> Job:
        """The job ends so, for good. Raises JobLost, StoreUnavailable."""
        return await self._leased.end(state, error)

    async def release(self, why: str | None, free_at: int) -> None:
        """Somebody may go on with it from `free_at` on, Unix ms. Raises JobLost, JobStopped, StoreUnavailable."""
        await self._leased.release(why, free_at)

    @property
    def _job(self) -> Job:
        return self._leased.job

    async def _begun(self, archive: Archive) -> Times:
        """Finds where the range begins, once. That the archive has no more of it is said, and stops nothing: who
        resumes a webhook was asked before."""
        job = self._job
        begin = await self._leased.beside(archive.begin(job.asked.since / 1000))
        if job.start is None:
            gone = begin.gone(job.asked.since) if isinstance(begin, Begin) else None
            await self._leased.keep(replace(job, start=begin.offset, gone=gone))
        if not (await self._selection.reload()).ttl_seconds:
            return Times(())
        until = min(job.asked.until, self._leased.ms())
        return await self._leased.beside(Times.asked(archive, begin.end, job.asked.since, until))

    async def _count(self, reader: Reader) -> None:
        """In turns, too. Trade-off: two copies of an event between which a turn ends are counted as two."""
        if self._job.state is not State.COUNTING or self._job.position is None:
            await self._leased.keep(replace(self._job, state=State.COUNTING, position=self._job.start))
        reader.start_over()
        assert self._job.position is not None
        await reader.settled()
        end = await reader.mark()
        async for batch, after in reader.batches(self._job.position, end, await reader.edge(end), lambda: COUNTED):
            judged = await self._judged(batch)
            counted = self._job.counted.more([judged.fate(candidate) for candidate in batch])
            self._leased.note(replace(self._job, position=after, counted=counted))
            await self._leased.renewed()
            await self._leased.give_way(0.0)
        await self._leased.keep(replace(self._job, counts=self._job.counted))

    async def _send_all(self, reader: Reader, sender: Sender) -> None:
        """The range; of a RESUME then what history shows as skipped and was not met: it was taken late."""
        job = self._job
        reader.start_over()
        if job.state is not State.SENDING:
            await self._leased.keep(replace(job, state=State.SENDING, position=job.start))
        while not self._job.older:
            left = reader.unsettled()
            end = await reader.mark()
            await self._send(reader, sender, end, await reader.edge(end))
            if left <= 0:
                break
            await self._leased.rest(min(RENEW_SECONDS, left))
            await sender.give_way()
        if self._job.asked.kind is Kind.RESUME:
            await self._send_older(reader, sender)

    async def _send_older(self, reader: Reader, sender: Sender) -> None:
        """Looks in front of the range, and again as long as the history shows ever more that was skipped."""
        if self._job.older:  # whoever had the job before was at it
            await self._send(reader, sender, await reader.mark(), self._job.start)
            await self._leased.rest(SETTLE_SECONDS)
        while (skipped := await self._skipped()) > self._job.skipped and skipped != self._job.looked:
            began = replace(self._job, older=True, looked=skipped, position=await reader.first())
            await self._leased.keep(began)
            reader.start_over()
            await self._send(reader, sender, await reader.mark(), self._job.start)
            await self._leased.rest(SETTLE_SECONDS)
            await sender.give_way()

    async def _skipped(self) -> int:
        asked = self._job.asked
        return await self._outside.skipped(asked.instance, asked.webhook, SKIPPED, asked.since)

    async def _send(self, reader: Reader, sender: Sender, end: str, before: int | None) -> None:
        assert self._job.position is not None
        async for batch, after in reader.batches(self._job.position, end, before, sender.most):
            judged = await self._judged(batch)
            if await sender.room(len(judged.to_be_sent(batch))) > STALE_SECONDS:
                judged = await self._judged(batch)
            met = 0 if self._job.older else sum(judged.was_skipped(each) for each in batch)
            sent = await sender.send(judged.to_be_sent(batch), judged)
            job, ahead = self._job, sender.ahead()
            done = replace(job, position=after, sent=job.sent + sent, skipped=job.skipped + met, ahead=ahead)
            await self._leased.keep(done)
            await sender.give_way()

    async def _judged(self, batch: Sequence[Candidate]) -> Judged:
        waits_since = int(self._leased.ms() - self._outside.max_age * 1000)
        return await Judged.asked(self._outside.moments, self._job, batch, waits_since)


def new_id() -> str:
    return f"replay_{secrets.token_hex(8)}"

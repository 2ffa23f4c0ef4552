"""Reads the range of a job from the archive, a batch of candidates at a time, and sees what was lost in front of it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from msgspec.structs import replace

from worker.basics.clock import Clocks
from worker.replay.archive import Archive
from worker.replay.current import CurrentSelection
from worker.replay.jobs import Kind
from worker.replay.leased import RENEW_SECONDS, LeasedJob
from worker.replay.selection import Candidate

SETTLE_SECONDS = 3.0
"""Until the history shows what became of an event: younger ones are not judged yet, as they may be under way."""

CHUNK_SECONDS = 1.0
"""How early the archive may begin for a moment."""

HOLE = 2
"""Between the numbers of neighbours: a stream leaves one out at the end of a segment."""

SIGN_OF_LIFE = 10_000
"""Events read, after which a batch is given however few it holds: it says how far the reading has come."""


class GapFound(Exception):
    """The archive has lost a part of the range; the text says which."""


class Reader:
    """Of one job, on one connection."""

    def __init__(self, archive: Archive, leased: LeasedJob, selection: CurrentSelection, clocks: Clocks) -> None:
        self._archive = archive
        self._leased = leased
        self._selection = selection
        self._now = clocks.now

    async def first(self) -> int:
        """The offset of the oldest message that is left."""
        return await self._leased.beside(self._archive.first())

    async def mark(self) -> str:
        """What was archived before is in front of it."""
        return await self._leased.beside(self._archive.mark())

    def unsettled(self) -> float:
        """Seconds until all of the range can be judged; 0 or less: now."""
        return self._leased.job.asked.until / 1000 + SETTLE_SECONDS + CHUNK_SECONDS - self._now()

    async def settled(self) -> None:
        while (left := self.unsettled()) > 0:
            await self._leased.rest(min(RENEW_SECONDS, left))

    async def edge(self, end: str) -> int | None:
        """The offset at which the range ends, or what is too young to be judged begins; None: at the mark `end`."""
        edge = min(self._leased.job.asked.until / 1000 + CHUNK_SECONDS, self._now() - SETTLE_SECONDS)
        return await self._leased.beside(self._archive.offset_at(edge, end))

    def start_over(self) -> None:
        """The range is read once more: none of its events has been met yet."""
        self._selection.start_over()

    def batches(
        self, offset: int, end: str, before: int | None, size: Callable[[], int]
    ) -> AsyncGenerator[tuple[list[Candidate], int]]:
        """Candidates in front of the offset `before` and of the mark `end`, and the offset behind them; `size` of them,
        which may change meanwhile. Raises GapFound, and what reading and choosing raise."""
        return self._leased.beside_each(self._batches(offset, end, before, size))

    async def _batches(
        self, offset: int, end: str, before: int | None, size: Callable[[], int]
    ) -> AsyncGenerator[tuple[list[Candidate], int]]:
        batch: list[Candidate] = []
        looked = 0
        following = offset
        async with aclosing(self._archive.events(offset, end)) as events:
            async for archived in events:
                if before is not None and archived.offset >= before:
                    break
                if archived.offset - following > HOLE:
                    await self._jumped(following)
                following = archived.offset + 1
                looked += 1
                candidate = await self._selection.of(archived)
                if candidate is not None:
                    batch.append(candidate)
                if len(batch) >= size() or looked % SIGN_OF_LIFE == 0:
                    yield batch, following
                    batch = []
        yield batch, following

    async def _jumped(self, following: int) -> None:
        """A reader that was overtaken by the archive's end is told nothing.

        A RESUME goes on whoever accepted what: its webhook is in use again, and more is lost while it waits for an
        answer. What is gone is told.
        """
        first = await self._archive.first()
        if first <= following:
            return
        gone = f"the archive lost its events {following} to {first - 1} by its bounds before they were read"
        job = self._leased.job
        await self._leased.keep(replace(job, gone=gone))
        if job.asked.kind is Kind.REPLAY and not job.asked.accept_gap:
            raise GapFound(f"{gone}; accept that (--accept-gap) to have what is left")

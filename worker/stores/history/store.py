"""The history of deliveries as a store: SQLite, PostgreSQL, MySQL and MariaDB."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypeVar

from worker.basics.importing import importing
from worker.domain.history import Batch
from worker.domain.notices.trouble import Seen, Trouble
from worker.domain.silence.pulse import Pulse
from worker.domain.webhook import Endpoint
from worker.history.store import Claimed, Cursor, Health, HistoryStore, Kept, LastHour, Page, Question, Tidied, Trend
from worker.replay.fates import Moment, Rows
from worker.replay.jobs import Held, Job, JobStore
from worker.stores.database import Database, parse
from worker.stores.threads import let_end

if TYPE_CHECKING:
    from worker.stores.history.tables import HistoryTables

THREADS = 4
"""Blocking calls at a time: a write, a tidying and two questions."""

GATHER_SECONDS = 0.5
"""From one write to the next. SQLite writes each page that a transaction has touched, of each index: a row costs 20 us
among thousands, and 80 among 500. Elsewhere a transaction costs some ms of statements, however few rows it has.
Trade-off: history is half a second later; a replay waits three seconds for it."""

T = TypeVar("T")


class Store(HistoryStore, JobStore, Rows, Protocol):
    """All that the history's database is asked for."""


def history_store(database: str | Database, keep_days: int, now_ms: Callable[[], int] | None = None) -> Store:
    """`keep_days` is at least 1; `now_ms` gives Unix milliseconds, in place of the database's clock. Raises ValueError
    for a URI that is none.

    Nothing is opened or imported before the first call.
    """
    return _Store(parse(database), keep_days, now_ms)


class _Store:
    """Drivers run in threads of its own."""

    def __init__(self, database: Database, keep_days: int, now_ms: Callable[[], int] | None) -> None:
        self._database = database
        self._keep_days = keep_days
        self._now_ms = now_ms
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="history")
        self._making = Lock()
        self._made: HistoryTables | None = None
        self._counting = Lock()
        self.cpu_seconds = 0.0
        self.gather_seconds = GATHER_SECONDS

    async def prepare(self) -> None:
        """See worker/history/store.py, as for all that follow."""
        await self._run(lambda: self._tables().prepare())

    async def write(self, batches: Sequence[Batch]) -> int:
        return await self._run(lambda: self._tables().write(batches))

    async def hear(self, pulses: Sequence[Pulse]) -> None:
        await self._run(lambda: self._tables().hear(pulses))

    async def judge(self, now: int) -> int:
        return await self._run(lambda: self._tables().judge(now))

    async def silent(self, now: int) -> tuple[str, ...]:
        return await self._run(lambda: self._tables().silent(now))

    async def tidy(self, now: int | None = None) -> Tidied:
        return await self._run(lambda: self._tables().tidy(now))

    async def claim(self, now: int) -> Sequence[Claimed]:
        return await self._run(lambda: self._tables().claim(now))

    async def failing(self) -> Sequence[Trouble]:
        return await self._run(lambda: self._tables().failing())

    async def report(self, seen: Seen) -> None:
        await self._run(lambda: self._tables().report(seen))

    async def told(self, claimed: Claimed, now: int) -> None:
        await self._run(lambda: self._tables().told(claimed, now))

    async def add_job(self, job: Job) -> Job:
        return await self._run(lambda: self._tables().add_job(job))

    async def job(self, job_id: str, owner: str | None) -> Job | None:
        return await self._run(lambda: self._tables().job(job_id, owner))

    async def jobs(self, owner: str | None, limit: int) -> Sequence[Job]:
        return await self._run(lambda: self._tables().jobs(owner, limit))

    async def claim_job(self, now: int, lease: int, job_id: str | None = None) -> Held | None:
        return await self._run(lambda: self._tables().claim_job(now, lease, job_id))

    async def free_job(self, now: int) -> bool:
        return await self._run(lambda: self._tables().free_job(now))

    async def keep_job(self, held: Held, job: Job, lease: int) -> Held:
        return await self._run(lambda: self._tables().keep_job(held, job, lease))

    async def stop_job(self, job_id: str, owner: str | None, now: int) -> bool:
        return await self._run(lambda: self._tables().stop_job(job_id, owner, now))

    async def moments(self, ids: Sequence[str]) -> Sequence[Moment]:
        return await self._run(lambda: self._tables().moments(ids))

    async def skipped(self, instance: str, webhook: str, reasons: Sequence[str], since: int) -> int:
        return await self._run(lambda: self._tables().skipped(instance, webhook, reasons, since))

    async def page(self, question: Question, after: Cursor | None, limit: int) -> Page:
        return await self._run(lambda: self._tables().page(question, after, limit))

    async def timeline(self, delivery_id: str, owner: str | None) -> tuple[Kept, ...]:
        return await self._run(lambda: self._tables().timeline(delivery_id, owner))

    async def health(self, instance: str, now: int) -> Mapping[str, Health]:
        return await self._run(lambda: self._tables().health(instance, now))

    async def last_hour(self, owner: str | None, now: int, reasons: Collection[str], most: int) -> LastHour:
        return await self._run(lambda: self._tables().last_hour(owner, now, reasons, most))

    async def trends(self, endpoints: Collection[Endpoint], now: int) -> Mapping[Endpoint, Trend]:
        return await self._run(lambda: self._tables().trends(endpoints, now))

    async def instances(self, most: int, beginning: str = "") -> tuple[str, ...]:
        return await self._run(lambda: self._tables().instances(most, beginning))

    async def close(self) -> None:
        await let_end(self._threads)
        if self._made is not None:
            await asyncio.to_thread(self._made.close)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._timed, work)

    def _timed(self, work: Callable[[], T]) -> T:
        began = time.thread_time()
        try:
            return work()
        finally:
            with self._counting:
                self.cpu_seconds += time.thread_time() - began

    def _tables(self) -> "HistoryTables":
        with self._making:
            if self._made is None:
                with importing():
                    from worker.stores.history.tables import HistoryTables  # noqa: PLC0415 - SQLAlchemy takes 0.4 s

                    self._made = HistoryTables(self._database, self._keep_days, self._now_ms)
            return self._made

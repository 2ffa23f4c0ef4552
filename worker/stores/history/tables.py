"""The history on one database: blocking calls, from any thread. Imports SQLAlchemy (0.4 s)."""

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Select, event
from sqlalchemy.exc import DBAPIError

from worker.domain.history import Batch
from worker.domain.notices.trouble import Seen, Trouble
from worker.domain.silence.pulse import Pulse
from worker.domain.webhook import Endpoint
from worker.history.store import (
    LARGEST_PAGE,
    Claimed,
    Cursor,
    Health,
    Kept,
    LastHour,
    Page,
    Question,
    Span,
    Tidied,
    Trend,
)
from worker.replay.fates import Moment
from worker.replay.jobs import Held, Job
from worker.stores.database import Database
from worker.stores.engine import ONLY_READS, engine_of, errors_mapped, remedies
from worker.stores.history import counters
from worker.stores.history.clock import DatabaseClock
from worker.stores.history.jobs import Jobs
from worker.stores.history.kinds import DAY_MS, Kind
from worker.stores.history.listening import ListeningTable
from worker.stores.history.migrations import MIGRATIONS
from worker.stores.history.reading import pages, questions
from worker.stores.history.reading.hour import Hour
from worker.stores.history.storable import is_name
from worker.stores.history.tidying import Tidying
from worker.stores.history.troubles import Troubles
from worker.stores.history.writing import Writing
from worker.stores.sqlite import connect, create_file, keep_a_log

T = TypeVar("T")

_TRIES = 5
"""Of a call whose transaction the database ended to let another one go on (deadlock)."""

_MOST_IDS = 500
"""In one question: databases bound a statement's parameters."""

_DEADLOCKS = frozenset({"40001", "40P01", 1213})
_REMEDIES = remedies(
    "lacks the history's tables, which a process with HISTORY_WRITER=true makes at its start",
    "its user lacks the rights to create, read, write and drop the tables `webhook_history*`: grant them",
)


class HistoryTables:
    """See worker/history/store.py, HistoryStore. `now_ms` gives Unix milliseconds; None: the database's clock does."""

    def __init__(self, database: Database, keep_days: int, now_ms: Callable[[], int] | None) -> None:
        self._database = database
        self._engine = engine_of(database)
        self._clock = DatabaseClock(self._engine, now_ms)
        self._reading = self._engine.execution_options(**ONLY_READS)
        kind = _kind(database)
        self._history = kind.history
        self._troubles = Troubles(self._engine, kind, keep_days * DAY_MS)
        self._listening = ListeningTable(self._engine, kind, self._troubles)
        self._writing = Writing(self._engine, kind, keep_days * DAY_MS, self._troubles.see)
        self._jobs = Jobs(self._engine)
        self._keep_ms = keep_days * DAY_MS
        self._tidying = Tidying(self._engine, kind, keep_days * DAY_MS, self._listening.forget)
        self._kept_open: sqlite3.Connection | None = None
        if database.dialect == "postgresql":
            event.listen(self._engine, "connect", _plan_each_statement)

    def prepare(self) -> None:
        if self._database.path is not None:
            _make_ready(self._database.path)

        def migrate() -> None:
            engine = engine_of(self._database, create=True, unhurried=True)
            try:
                MIGRATIONS.migrate(engine)
            finally:
                engine.dispose()
            self._clock.measure()
            self._tidying.make_partitions_ahead(self._clock())

        self._do(migrate)
        if self._database.path is not None and self._kept_open is None:
            self._kept_open = _open(self._database.path)

    def write(self, batches: Sequence[Batch]) -> int:
        return self._do(lambda: self._writing.write(batches, self._clock()))

    def hear(self, pulses: Sequence[Pulse]) -> None:
        self._do(lambda: self._listening.hear(pulses, self._clock()))

    def judge(self, now: int) -> int:
        return self._do(lambda: self._listening.judge(now))

    def silent(self, now: int) -> tuple[str, ...]:
        return self._do(lambda: self._listening.silent(now))

    def tidy(self, now: int | None) -> Tidied:
        self._do(self._clock.measure)
        moment = self._clock() if now is None else now
        self._do(lambda: self._jobs.forget(moment - self._keep_ms))
        return self._do(lambda: self._tidying.tidy(moment))

    def claim(self, now: int) -> Sequence[Claimed]:
        return self._do(lambda: self._troubles.claim(now))

    def failing(self) -> Sequence[Trouble]:
        return self._do(self._troubles.failing)

    def report(self, seen: Seen) -> None:
        self._do(lambda: self._troubles.report(seen))

    def told(self, claimed: Claimed, now: int) -> None:
        self._do(lambda: self._troubles.told(claimed, now))

    def add_job(self, job: Job) -> Job:
        return self._do(lambda: self._jobs.add(job))

    def job(self, job_id: str, owner: str | None) -> Job | None:
        return self._do(lambda: self._jobs.find(job_id, owner))

    def jobs(self, owner: str | None, limit: int) -> Sequence[Job]:
        return self._do(lambda: self._jobs.newest(owner, limit))

    def claim_job(self, now: int, lease: int, job_id: str | None) -> Held | None:
        return self._do(lambda: self._jobs.claim(now, lease, job_id))

    def free_job(self, now: int) -> bool:
        return self._do(lambda: self._jobs.is_any_free(now))

    def keep_job(self, held: Held, job: Job, lease: int) -> Held:
        return self._do(lambda: self._jobs.keep(held, job, lease))

    def stop_job(self, job_id: str, owner: str | None, now: int) -> bool:
        return self._do(lambda: self._jobs.stop(job_id, owner, now))

    def moments(self, ids: Sequence[str]) -> Sequence[Moment]:
        def read() -> list[Moment]:
            with self._reading.connect() as connection:
                some = (ids[first : first + _MOST_IDS] for first in range(0, len(ids), _MOST_IDS))
                found = (connection.execute(questions.moments(self._history, part)) for part in some)
                return [Moment(*row) for rows in found for row in rows]

        return self._do(read)

    def skipped(self, instance: str, webhook: str, reasons: Sequence[str], since: int) -> int:
        def read() -> int:
            with self._reading.connect() as connection:
                asked = questions.skipped(self._history, instance, webhook, reasons, since)
                return int(connection.execute(asked).scalar_one())

        return self._do(read)

    def page(self, question: Question, after: Cursor | None, limit: int) -> Page:
        if not 1 <= limit <= LARGEST_PAGE:
            raise ValueError(f"a page has 1 to {LARGEST_PAGE} rows, not {limit}")
        if not questions.answerable(question, after):
            return Page((), None)

        def read() -> Page:
            with self._reading.connect() as connection:
                return pages.search(connection, self._history, question, after, limit)

        return self._do(read)

    def timeline(self, delivery_id: str, owner: str | None) -> tuple[Kept, ...]:
        if not questions.answerable(Question(owner=owner, id=delivery_id), None):
            return ()
        return self._rows(questions.timeline(self._history, delivery_id, owner))

    def _rows(self, statement: Select[Any]) -> tuple[Kept, ...]:
        def read() -> tuple[Kept, ...]:
            with self._reading.connect() as connection:
                return tuple(questions.kept(row) for row in connection.execute(statement))

        return self._do(read)

    def health(self, instance: str, now: int) -> Mapping[str, Health]:
        if not is_name("instance", instance):
            return {}

        def read() -> dict[str, Health]:
            with self._reading.connect() as connection:
                return counters.health(connection, instance, now, self._keep_ms)

        return self._do(read)

    def last_hour(self, owner: str | None, now: int, reasons: Collection[str], most: int) -> LastHour:
        if not questions.answerable(Question(owner=owner), None):
            return LastHour(Span(0, 0), None, (), 0, {})

        def read() -> LastHour:
            with self._reading.connect() as connection:
                return Hour(connection, self._history, owner, now).asked(reasons, most)

        return self._do(read)

    def trends(self, endpoints: Collection[Endpoint], now: int) -> dict[Endpoint, Trend]:
        named = [
            each for each in endpoints if is_name("instance", each.instance) and is_name("webhook", each.webhook_id)
        ]

        def read() -> dict[Endpoint, Trend]:
            with self._reading.connect() as connection:
                return counters.trends(connection, named, now)

        return self._do(read)

    def instances(self, most: int, beginning: str) -> tuple[str, ...]:
        if not is_name("instance", beginning):
            return ()
        return self._do(lambda: self._listening.names(most, beginning))

    def close(self) -> None:
        self._engine.dispose()
        if self._kept_open is not None:
            self._kept_open.close()

    def _do(self, work: Callable[[], T]) -> T:
        """Safe to repeat: a transaction that failed has written nothing, and names say what has been written."""
        with errors_mapped(self._database, _REMEDIES):
            for _ in range(_TRIES - 1):
                try:
                    return work()
                except DBAPIError as error:
                    if not _is_deadlock(error.orig):
                        raise
            return work()


def _kind(database: Database) -> Kind:
    if database.dialect == "postgresql":
        from worker.stores.history.partitioned import Partitioned  # noqa: PLC0415 - psycopg is an extra

        return Partitioned()
    from worker.stores.history.whole import WholeTable  # noqa: PLC0415 - as above

    return WholeTable()


def _is_deadlock(error: BaseException | None) -> bool:
    codes = (getattr(error, "sqlstate", None), *(error.args[:1] if error else ()))
    return not _DEADLOCKS.isdisjoint(code for code in codes if isinstance(code, str | int))


def _plan_each_statement(connection: Any, _record: object) -> None:
    """Without psycopg's prepared statements: PostgreSQL's plan for any value reads all rows for a rare one."""
    connection.prepare_threshold = None


def _make_ready(path: Path) -> None:
    """With pages that can be given back: SQLite takes that only before the first page is written, so each of several
    processes says it while the file is empty, whichever of them made it."""
    create_file(path)
    with suppress(OSError, sqlite3.Error):
        if path.stat().st_size == 0:  # elsewhere it would wait for whoever writes, and change nothing
            with closing(connect(path)) as connection:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                keep_a_log(connection)


def _open(path: Path) -> sqlite3.Connection:
    """Stays idle. The last connection that closes moves the log into the file: a third of the cost of a write."""
    connection = connect(path)
    connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    return connection

"""Replays as rows beside the history: each is in the hands of one process, by a lease. Imports SQLAlchemy (0.4 s)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, Engine, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from worker.replay.jobs import ENDED, MOST_OPEN, CannotReplay, Held, Job, JobLost, JobStopped, Kind, State
from worker.stores.history.schema import JOBS
from worker.stores.history.storable import is_name

_C = JOBS.c
_OPEN = tuple(state.value for state in State if state not in ENDED)
_decode = msgspec.json.Decoder(Job).decode


class Jobs:
    """See worker/replay/jobs.py, JobStore. Blocking; raises SQLAlchemy's errors."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, job: Job) -> Job:
        try:
            self._insert(job)
        except IntegrityError:
            there = self.find(job.id, job.asked.instance)
            if there is None:
                raise CannotReplay(f"{job.id} is another instance's") from None
            return there
        return job

    def _insert(self, job: Job) -> None:
        asked = job.asked
        values = {"id": job.id, "instance": asked.instance, "webhook": asked.webhook, "created_at": job.created_at}
        with self._engine.begin() as connection:
            if asked.kind is Kind.REPLAY:
                _refuse_many(connection, asked.instance, asked.webhook)
            connection.execute(insert(JOBS).values(**values, leased=0, stop=0, state=job.state.value, job=_text(job)))

    def find(self, job_id: str, owner: str | None) -> Job | None:
        if not _can_be(job_id, owner):
            return None
        with self._engine.connect() as connection:
            found = connection.execute(_of(owner).where(_C.id == job_id)).scalar_one_or_none()
        return None if found is None else _decode(str(found))

    def newest(self, owner: str | None, limit: int) -> Sequence[Job]:
        if not _can_be("", owner):
            return ()
        ordered = _of(owner).order_by(_C.created_at.desc(), _C.id.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [_decode(str(text)) for text in connection.execute(ordered).scalars()]

    def claim(self, now: int, lease: int, job_id: str | None) -> Held | None:
        """Jobs of one webhook take turns in the order in which they were asked for, but for those that only count.
        `job_id`: this one, or the one before it."""
        with self._engine.begin() as connection:
            rows = _open(connection)
            wanted = {(row.instance, row.webhook) for row in rows if job_id in (None, row.id)}
            for row, job in sorted(_free(rows, now), key=_urgency):
                if (row.instance, row.webhook) in wanted and _leased(connection, row.id, row.leased, lease):
                    return Held(job, lease)
        return None

    def is_any_free(self, now: int) -> bool:
        with self._engine.connect() as connection:
            return any(_free(_open(connection), now))

    def keep(self, held: Held, job: Job, lease: int) -> Held:
        lease = 0 if job.ended else lease
        kept = {"job": _text(job), "state": job.state.value, "leased": lease}
        with self._engine.begin() as connection:
            mine = (_C.id == job.id) & (_C.leased == held.lease) & _C.state.in_(_OPEN)
            stops = connection.execute(select(_C.stop).where(mine).with_for_update()).scalar_one_or_none()
            if stops is None:
                raise JobLost(job.id)
            if stops and not job.ended:
                raise JobStopped(job.id)
            connection.execute(update(JOBS).where(mine).values(kept))
        return Held(job, lease)

    def stop(self, job_id: str, owner: str | None, now: int) -> bool:
        """Also one whose process is gone: nobody holds it."""
        if not _can_be(job_id, owner):
            return False
        with self._engine.begin() as connection:
            its = (_C.id == job_id) & _C.state.in_(_OPEN)
            mine = its if owner is None else its & (_C.instance == owner)
            row = connection.execute(select(_C.leased, _C.job).where(mine).with_for_update()).one_or_none()
            if row is None:
                return False
            values: dict[str, str | int] = {"stop": 1}
            if row.leased <= now:
                job = replace(_decode(row.job), state=State.STOPPED, ended_at=now)
                values |= {"state": job.state.value, "job": _text(job), "leased": 0}
            connection.execute(update(JOBS).where(mine).values(values))
        return True

    def forget(self, before: int) -> None:
        """Drops those that were asked for before then (Unix ms) and have ended."""
        with self._engine.begin() as connection:
            connection.execute(delete(JOBS).where(_C.created_at < before, _C.state.not_in(_OPEN)))


def _open(connection: Connection) -> Sequence[Any]:
    """In the order in which they were asked for."""
    waiting = select(_C.id, _C.instance, _C.webhook, _C.leased, _C.job).where(_C.state.in_(_OPEN))
    return connection.execute(waiting.order_by(_C.created_at, _C.id)).all()


def _free(rows: Iterable[Any], now: int) -> Iterator[tuple[Any, Job]]:
    """Those that nobody holds and whose turn it is among their webhook's."""
    busy: set[tuple[str, str]] = set()
    for row in rows:
        job, endpoint = _decode(row.job), (row.instance, row.webhook)
        if (job.asked.dry_run or endpoint not in busy) and row.leased <= now:
            yield row, job
        if not job.asked.dry_run:
            busy.add(endpoint)


def _urgency(free: tuple[Any, Job]) -> tuple[bool, int]:
    """A RESUME that nobody has begun is first; then what was given back longest ago, so that all have their turn."""
    row, job = free
    return (row.leased > 0 or job.asked.kind is not Kind.RESUME, row.leased)


def _refuse_many(connection: Connection, instance: str, webhook: str) -> None:
    jobs = connection.execute(
        select(_C.job).where(_C.instance == instance, _C.webhook == webhook, _C.state.in_(_OPEN))
    ).scalars()
    if sum(_decode(text).asked.kind is Kind.REPLAY for text in jobs) >= MOST_OPEN:
        raise CannotReplay(f"the webhook has {MOST_OPEN} replays that have not ended: wait for them, or stop one")


def _can_be(job_id: str, owner: str | None) -> bool:
    """Whether a job of this id and owner can have been kept: no driver takes what is no text."""
    return is_name("id", job_id) and (owner is None or is_name("instance", owner))


def _of(owner: str | None) -> Select[Any]:
    statement = select(_C.job)
    return statement if owner is None else statement.where(_C.instance == owner)


def _leased(connection: Connection, job_id: str, before: int, lease: int) -> bool:
    """By compare-and-set: of several processes, one."""
    as_it_was: ColumnElement[bool] = (_C.id == job_id) & (_C.leased == before) & _C.state.in_(_OPEN)
    return connection.execute(update(JOBS).where(as_it_was).values(leased=lease)).rowcount == 1


def _text(job: Job) -> str:
    return msgspec.json.encode(job).decode()

"""What keeps the history in order: partitions ahead, what is old dropped, what is missing counted.

Imports SQLAlchemy (0.4 s).
"""

from collections.abc import Callable

from sqlalchemy import Engine, delete, select, update
from sqlalchemy.exc import DBAPIError

from worker.history.store import Tidied
from worker.stores.history import chunks, counters, gaps
from worker.stores.history.kinds import DAY_MS, Kind
from worker.stores.history.schema import BATCHES, PRODUCERS
from worker.stores.history.storable import AHEAD_DAYS

_PRODUCER_MS = 400 * DAY_MS
"""A producer's mark outlives its batches by this: one that goes on after months of silence has lost nothing."""

_BATCHES_READ = 10_000


class Tidying:
    """Raises SQLAlchemy's errors."""

    def __init__(self, engine: Engine, kind: Kind, keep_ms: int, forget: Callable[[int], None]) -> None:
        """`forget` drops what is known of instances that are gone; it is given the time, Unix ms."""
        self._engine = engine
        self._kind = kind
        self._keep_ms = keep_ms
        self._forget = forget

    def tidy(self, now: int) -> Tidied:
        self.make_partitions_ahead(now)
        expired = self._kind.expire(self._engine, now - self._keep_ms)
        self._forget_names(now)
        self._forget(now)
        counters.forget(self._engine, now, self._keep_ms)
        return Tidied(
            expired, self._count(now)
        )  # last: what has been counted is never counted again, so it must be told

    def make_partitions_ahead(self, now: int) -> None:
        self._kind.make_ready(self._engine, [now + day * DAY_MS for day in range(AHEAD_DAYS + 1)])

    def _count(self, now: int) -> int:
        lost = 0
        for producer in self._uncounted():
            try:
                lost += self._count_lost(producer, now)
            except DBAPIError:
                if not lost:
                    raise
                break  # the other producers' are counted next time
        return lost

    def _uncounted(self) -> list[str]:
        """Producers with batches that have not been counted."""
        of_it = (BATCHES.c.producer == PRODUCERS.c.producer) & (BATCHES.c.number >= PRODUCERS.c.counted)
        statement = select(PRODUCERS.c.producer).where(select(BATCHES.c.number).where(of_it).exists())
        with self._engine.connect() as connection:
            return list(connection.execute(statement).scalars())

    def _count_lost(self, producer: str, now: int) -> int:
        """Moves the producer's mark by compare-and-set: of several that count the same rows, one has counted them."""
        lost, more = 0, True
        its = PRODUCERS.c.producer == producer
        while more:
            with self._engine.begin() as connection:
                since = connection.execute(select(PRODUCERS.c.counted).where(its)).scalar_one_or_none()
                if since is None:
                    break
                of_it = (BATCHES.c.producer == producer) & (BATCHES.c.number >= since)
                columns = select(BATCHES.c.number, BATCHES.c.count, BATCHES.c.written_at).where(of_it)
                rows = connection.execute(columns.order_by(BATCHES.c.number).limit(_BATCHES_READ)).all()
                found = gaps.count(since, (gaps.Written(*row) for row in rows), now)
                move = update(PRODUCERS).where(its, PRODUCERS.c.counted == since).values(counted=found.upto)
                moved = found.upto > since and connection.execute(move).rowcount == 1
            lost += found.lost if moved else 0
            more = moved and len(rows) == _BATCHES_READ
        return lost

    def _forget_names(self, now: int) -> None:
        """Names of batches that would bring nothing if they came again: all their rows are too old by then."""
        before = now - self._keep_ms - (AHEAD_DAYS + 1) * DAY_MS
        for _ in chunks.delete_before(self._engine, BATCHES.c.written_at, before):
            pass
        has_batches = select(BATCHES.c.number).where(BATCHES.c.producer == PRODUCERS.c.producer).exists()
        with self._engine.begin() as connection:
            connection.execute(delete(PRODUCERS).where(PRODUCERS.c.first_at < before - _PRODUCER_MS, ~has_batches))

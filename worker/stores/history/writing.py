"""Batches into the tables: each once, whoever writes them. Imports SQLAlchemy (0.4 s)."""

import logging
from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError

from worker.domain.history import Batch, Row
from worker.stores.history import counters
from worker.stores.history.kinds import Kind, is_refusal
from worker.stores.history.schema import BATCHES, COLUMNS, PRODUCERS
from worker.stores.history.storable import Columns, columns_of, is_batch

_Insert = Callable[[Connection, Sequence[Columns]], int]
_See = Callable[[Connection, Iterable[Row]], None]
_AT = COLUMNS.index("at")
_log = logging.getLogger(__name__)


class Writing:
    """Raises SQLAlchemy's errors. `see` hears of each row once, in the transaction that writes it."""

    def __init__(self, engine: Engine, kind: Kind, keep_ms: int, see: _See) -> None:
        self._see = see
        self._engine = engine
        self._kind = kind
        self._keep_ms = keep_ms

    def write(self, batches: Sequence[Batch], now: int) -> int:
        """Returns the rows written. `now` is Unix milliseconds."""
        unique = {(batch.producer, batch.number): batch for batch in batches if is_batch(batch)}
        # Sorted: two writers that add the same names in another order would wait for each other.
        ordered = [unique[key] for key in sorted(unique)]
        if not ordered:
            return 0
        try:
            return self._write(ordered, now, self._insert)
        except DBAPIError as error:
            if not is_refusal(error):
                raise
            rows, _ = self._rows(ordered, now)
            self._kind.make_ready(self._engine, {int(row[_AT] or 0) for row in rows})
        return self._write(ordered, now, self._insert_what_can_be)

    def _write(self, batches: Sequence[Batch], now: int, insert: _Insert) -> int:
        with self._engine.begin() as connection:
            self._add_producers(connection, {batch.producer for batch in batches}, now)
            new = [batch for batch in batches if self._add_name(connection, batch, now)]
            rows, refused = self._rows(new, now)
            count = insert(connection, rows) if rows else 0
            self._see(connection, (row for batch in new for row in batch.rows))
            counters.add(connection, self._kind, rows, now)
        if refused:
            _log.warning("rows of the history that no database can hold were left out", extra={"rows": refused})
        return count

    def _add_producers(self, connection: Connection, producers: set[str], now: int) -> None:
        known = connection.execute(select(PRODUCERS.c.producer).where(PRODUCERS.c.producer.in_(producers))).scalars()
        for producer in sorted(producers.difference(known)):
            self._kind.add_once(connection, PRODUCERS, {"producer": producer, "counted": 0, "first_at": now})

    def _add_name(self, connection: Connection, batch: Batch, now: int) -> bool:
        name: dict[str, str | int] = {"producer": batch.producer, "number": batch.number}
        return self._kind.add_once(connection, BATCHES, {**name, "count": len(batch.rows), "written_at": now})

    def _rows(self, batches: Iterable[Batch], now: int) -> tuple[list[Columns], int]:
        rows: list[Columns] = []
        refused = 0
        for batch in batches:
            found, unstorable = columns_of(batch, now - self._keep_ms, now)
            rows += found
            refused += unstorable
        return rows, refused

    def _insert(self, connection: Connection, rows: Sequence[Columns]) -> int:
        self._kind.insert(connection, rows)
        return len(rows)

    def _insert_what_can_be(self, connection: Connection, rows: Sequence[Columns]) -> int:
        """Halves what is refused until the refused row is alone, and leaves it out."""
        try:
            with connection.begin_nested():
                return self._insert(connection, rows)
        except DBAPIError as error:
            if not is_refusal(error):
                raise
            if len(rows) == 1:
                refusal = {"error": type(error.orig).__name__}  # its text quotes the row
                _log.warning("a row of the history was refused by its database and left out", extra=refusal)
                return 0
        middle = len(rows) // 2
        return self._insert_what_can_be(connection, rows[:middle]) + self._insert_what_can_be(connection, rows[middle:])

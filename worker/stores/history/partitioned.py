"""The history in partitions of a day each (UTC): PostgreSQL. Imports SQLAlchemy (0.4 s) and psycopg."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache

import psycopg
from sqlalchemy import BigInteger, Connection, Engine, Table, text
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.exc import DBAPIError, OperationalError

from worker.stores.history import kinds
from worker.stores.history.kinds import DAY_MS, Merged
from worker.stores.history.schema import COLUMNS, PARTITIONED
from worker.stores.history.storable import Columns
from worker.stores.versions import qualified

_LOCK_ID = 0x6576_6F79  # any constant of our own
LOCK_MS = 2000
"""For a lock on the whole history: others wait behind whoever waits for one, so that is given up soon."""

_PREFIX = f"{PARTITIONED.name}_"
_log = logging.getLogger(__name__)


class Partitioned:
    """A Kind (kinds.py)."""

    history = PARTITIONED

    def insert(self, connection: Connection, rows: Sequence[Columns]) -> None:
        quote = connection.dialect.identifier_preparer.quote
        names = ", ".join(map(quote, COLUMNS))
        statement = f"COPY {qualified(connection, PARTITIONED.name)} ({names}) FROM STDIN"
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        try:
            with driver.cursor() as cursor, cursor.copy(statement.encode()) as copy:
                for row in rows:
                    copy.write_row(row)
        except psycopg.Error as error:
            raise DBAPIError.instance(
                statement, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=driver.closed
            ) from error

    def add_once(self, connection: Connection, table: Table, values: Mapping[str, str | int]) -> bool:
        return connection.execute(_unless_there(table), dict(values), execution_options=kinds.COUNTED).rowcount == 1

    def merge(self, connection: Connection, table: Table, rows: Sequence[Sequence[object]], merged: Merged) -> None:
        """A column of values each, in one statement."""
        if rows:
            connection.exec_driver_sql(_merging(connection, table, merged), tuple(map(list, zip(*rows, strict=True))))

    def make_ready(self, engine: Engine, moments: Iterable[int]) -> None:
        needed = {_name(moment): moment for moment in moments}
        with engine.begin() as connection:
            if needed.keys() <= _partitions(connection):
                return
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_MS * 5}ms'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            for name in sorted(needed.keys() - _partitions(connection)):
                _create(connection, name, needed[name])

    def expire(self, engine: Engine, before: int) -> int:
        with engine.connect() as connection:
            old = sorted(name for name in _partitions(connection) if name < _name(before))
        return sum(self._drop(engine, name) for name in old)

    def _drop(self, engine: Engine, name: str) -> bool:
        """False: another process drops it, or the history is in use for longer than we wait."""
        try:
            with engine.begin() as connection:
                connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_MS}ms'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
                if name not in _partitions(connection):
                    return False
                connection.execute(text(f"DROP TABLE {qualified(connection, name)}"))
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03":  # lock_not_available
                raise
            _log.info("a day of the history is dropped later: its table is in use", extra={"partition": name})
            return False
        return True


@cache  # of a few tables
def _unless_there(table: Table) -> Insert:
    return insert(table).on_conflict_do_nothing()


def _merging(connection: Connection, table: Table, merged: Merged) -> str:
    quote = connection.dialect.identifier_preparer.quote
    kinds_of = ("%s::bigint[]" if isinstance(each.type, BigInteger) else "%s::text[]" for each in table.c)
    template = "{0} = old.{0} + excluded.{0}" if merged is Merged.SUM else "{0} = greatest(old.{0}, excluded.{0})"
    sets = ", ".join(template.format(quote(each.name)) for each in table.c if not each.primary_key)
    columns = ", ".join(quote(each.name) for each in table.c)
    key = ", ".join(quote(each.name) for each in table.primary_key)
    name = qualified(connection, table.name)
    return (
        f"INSERT INTO {name} AS old ({columns}) SELECT * FROM unnest({', '.join(kinds_of)}) "  # noqa: S608 - constants
        f"ON CONFLICT ({key}) DO UPDATE SET {sets}"
    )


def _name(moment: int) -> str:
    """By the day in UTC: a day is 24 hours, whatever clocks of people do."""
    return _PREFIX + datetime.fromtimestamp(moment // DAY_MS * 86_400, UTC).strftime("%Y%m%d")


def _partitions(connection: Connection) -> set[str]:
    of_history = text(
        "SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = CAST(:history AS regclass)"
    )
    return set(connection.execute(of_history, {"history": qualified(connection, PARTITIONED.name)}).scalars())


def _create(connection: Connection, name: str, moment: int) -> None:
    """ATTACH instead of PARTITION OF, which would wait for every reader of the history, and all others behind it."""
    first = moment // DAY_MS * DAY_MS
    partition, history = qualified(connection, name), qualified(connection, PARTITIONED.name)
    connection.execute(text(f"CREATE TABLE {partition} (LIKE {history} INCLUDING DEFAULTS)"))
    bounds = f"FOR VALUES FROM ({first}) TO ({first + DAY_MS})"
    connection.execute(text(f"ALTER TABLE {history} ATTACH PARTITION {partition} {bounds}"))

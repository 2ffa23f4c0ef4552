"""The history in one table: SQLite, MySQL and MariaDB. Imports SQLAlchemy (0.4 s)."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress

from sqlalchemy import Connection, Dialect, Engine, Insert, Table, insert
from sqlalchemy.dialects import sqlite

from worker.stores.history import chunks, kinds
from worker.stores.history.kinds import Merged
from worker.stores.history.schema import COLUMNS, WHOLE
from worker.stores.history.storable import Columns

_FREED_PAGES = 2000
"""Given back to the file system after each chunk, of SQLite's 4 KiB."""


_CACHE_KIB = 16 * 1024
"""While it writes: a page that does not fit goes into the log once for each time it is touched."""


class WholeTable:
    """A Kind (kinds.py)."""

    history = WHOLE

    def insert(self, connection: Connection, rows: Sequence[Columns]) -> None:
        """The driver's own parameters: the library's would cost as much as the statement."""
        names = ", ".join(map(connection.dialect.identifier_preparer.quote, COLUMNS))
        marks = ", ".join(["?" if connection.dialect.name == "sqlite" else "%s"] * len(COLUMNS))
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA cache_size = -{_CACHE_KIB}")
        statement = f"INSERT INTO {WHOLE.name} ({names}) VALUES ({marks})"  # noqa: S608 - constants
        connection.exec_driver_sql(statement, list(rows))

    def add_once(self, connection: Connection, table: Table, values: Mapping[str, str | int]) -> bool:
        unless_there: Insert = insert(table).prefix_with("IGNORE")
        if connection.dialect.name == "sqlite":
            unless_there = sqlite.insert(table).on_conflict_do_nothing()
        return connection.execute(unless_there, dict(values), execution_options=kinds.COUNTED).rowcount == 1

    def merge(self, connection: Connection, table: Table, rows: Sequence[Sequence[object]], merged: Merged) -> None:
        if rows:
            statement = _merging(connection.dialect, table, merged)
            connection.exec_driver_sql(statement, [tuple(row) for row in rows])

    def make_ready(self, engine: Engine, moments: Iterable[int]) -> None:
        """Nothing to make: there is one table for all days."""

    def expire(self, engine: Engine, before: int) -> int:
        expired = 0
        for count in chunks.delete_before(engine, WHOLE.c.at, before):
            expired += count
        if expired and engine.dialect.name == "sqlite":
            _shrink(engine)
        return expired


def _merging(dialect: Dialect, table: Table, merged: Merged) -> str:
    quote = dialect.identifier_preparer.quote
    key, others = ([quote(each.name) for each in table.c if each.primary_key is of_key] for of_key in (True, False))
    is_sqlite = dialect.name == "sqlite"
    mark, new, greatest = ("?", "excluded.{}", "max") if is_sqlite else ("%s", "VALUES({})", "greatest")
    template = "{0} = {0} + {1}" if merged is Merged.SUM else f"{{0}} = {greatest}({{0}}, {{1}})"
    sets = ", ".join(template.format(name, new.format(name)) for name in others)
    there = f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET" if is_sqlite else "ON DUPLICATE KEY UPDATE"
    columns, marks = ", ".join(quote(each.name) for each in table.c), ", ".join([mark] * len(table.c))
    return f"INSERT INTO {table.name} ({columns}) VALUES ({marks}) {there} {sets}"  # noqa: S608 - constants


def _shrink(engine: Engine) -> None:
    """Trade-off: some of the file at a time; what is left is used again by the rows of the next day."""
    with closing(engine.raw_connection()) as connection, suppress(sqlite3.OperationalError):  # locked: next time
        driver = connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        # A step gives back one page, and `execute` takes one step of a statement without columns.
        driver.executescript(f"PRAGMA incremental_vacuum({_FREED_PAGES})")

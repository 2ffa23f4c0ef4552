"""The queries of the delivery path on SQLite, with the standard library only.

Importing SQLAlchemy takes 0.4 s, as long as the rest of the process start. So a start with an up-to-date
SQLite file does without it; writes, lists, migrations and the other databases use it (table.py).
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Lock

from worker.stores.own.row import COLUMNS
from worker.stores.sqlite import connect

_QUOTED = ", ".join(f'"{name}"' for name in COLUMNS)  # a field may have a name that SQL reserves
_SELECT = f"SELECT {_QUOTED} FROM webhooks WHERE instance = ? ORDER BY id"  # noqa: S608 - constants
_PAGE = f"SELECT {_QUOTED} FROM webhooks WHERE (instance, id) > (?, ?) ORDER BY instance, id LIMIT ?"  # noqa: S608
_INSTANCES = "SELECT DISTINCT instance FROM webhooks"
_Identity = tuple[int, int]


class SqliteReader:
    """Reads over one connection, from any thread. Raises sqlite3.Error and OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: _Identity | None = None

    def rows(self, instance: str) -> list[tuple[object, ...]]:
        """The instance's rows, COLUMNS each."""
        with self._lock:
            return self._current().execute(_SELECT, (instance,)).fetchall()

    def page(self, after: tuple[str, str], limit: int) -> list[tuple[object, ...]]:
        """Rows that follow (instance, id), in their order; ("", "") is before all."""
        with self._lock:
            return self._current().execute(_PAGE, (*after, limit)).fetchall()

    def instances(self) -> tuple[str, ...]:
        """The instances that have rows."""
        with self._lock:
            return tuple(str(row[0]) for row in self._current().execute(_INSTANCES))

    def version(self) -> int | None:
        """The schema's version; None: no file, or no tables of ours."""
        if not self._path.exists():
            return None
        with self._lock:
            connection = self._current()
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'webhook_schema'").fetchone():
                return None
            found = connection.execute("SELECT version FROM webhook_schema").fetchone()
        return None if found is None else int(found[0])

    def check_writable(self) -> None:
        """Takes the write lock and releases it; changes nothing."""
        with closing(connect(self._path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")

    def close(self) -> None:
        with self._lock:
            self._close()

    def _current(self) -> sqlite3.Connection:
        # A file put in the place of the old one (a restored backup) would else never be seen.
        status = self._path.stat()
        identity = (status.st_dev, status.st_ino)
        if self._connection is None or identity != self._identity:
            self._close()
            self._connection = connect(self._path)
            self._identity = identity
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

"""What the kinds of databases do differently with the history."""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from worker.stores.history.storable import Columns

DAY_MS = 86_400_000
COUNTED = {"preserve_rowcount": True}
"""Execution options of an INSERT whose rows are to be counted: SQLAlchemy forgets the driver's count."""


class Merged(Enum):
    """What becomes of two numbers of one key."""

    SUM = "sum"
    GREATEST = "greatest"


class Kind(Protocol):
    """One kind of database. Times are Unix milliseconds; each call raises SQLAlchemy's errors."""

    history: Table

    def insert(self, connection: Connection, rows: Sequence[Columns]) -> None:
        """All of them, or none: an error that is_refusal for a row that cannot be written."""

    def add_once(self, connection: Connection, table: Table, values: Mapping[str, str | int]) -> bool:
        """Inserts a row unless its key is there; waits for a transaction that is about to add or drop it."""

    def merge(self, connection: Connection, table: Table, rows: Sequence[Sequence[object]], merged: Merged) -> None:
        """Adds rows in the order of the table's columns; of one whose key is there, what is no key is merged. The keys
        are all different, and ascend, so that two that merge never wait for each other."""

    def make_ready(self, engine: Engine, moments: Iterable[int]) -> None:
        """Makes room for rows of these times."""

    def expire(self, engine: Engine, before: int) -> int:
        """Drops what is older; returns the rows, or the partitions, that this call dropped."""


_REFUSALS = frozenset({1366, 3819, 4025})
"""PyMySQL calls these operational: a character that the column cannot hold, a CHECK of MySQL's and of MariaDB's."""


def is_refusal(error: DBAPIError) -> bool:
    """A row was refused for what is in it, or for its time; the database itself works."""
    code = error.orig.args[0] if error.orig and error.orig.args else None
    return isinstance(error, DataError | IntegrityError) or code in _REFUSALS

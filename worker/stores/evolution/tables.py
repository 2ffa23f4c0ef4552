"""The statements on Evolution 2.x's tables: SELECT and nothing else. Imports SQLAlchemy (0.4 s).

Source: Evolution's own migrations (prisma/postgresql-migrations, prisma/mysql-migrations).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Result,
    Select,
    String,
    Table,
    Text,
    cast,
    extract,
    func,
    literal_column,
    null,
    select,
)

from worker.stores.database import Database
from worker.stores.engine import engine_of, errors_mapped, remedies
from worker.stores.evolution.row import Row

_REMEDIES = remedies(
    "has no tables of Evolution 2.x: is it Evolution's database, and `?schema=` its schema?",
    'its user may not read Evolution\'s tables: GRANT SELECT on "Instance" and "Webhook"',
)
_NAMES = MetaData()
INSTANCE = Table("Instance", _NAMES, *(Column(name, String) for name in ("id", "name", "token")))
_WEBHOOK_COLUMNS = (
    *("id", "url", "headers", "enabled", "events", "webhookByEvents", "webhookBase64"),
    *("createdAt", "updatedAt", "instanceId"),
)
WEBHOOK = Table("Webhook", _NAMES, *(Column(name, String) for name in _WEBHOOK_COLUMNS))
_JOINED = INSTANCE.join(WEBHOOK, WEBHOOK.c.instanceId == INSTANCE.c.id)


@dataclass(frozen=True, slots=True)
class Token:
    """What changes when a row does: number of rows, newest and sum of `updatedAt` (microseconds)."""

    count: int
    newest: int
    total: int


@dataclass(frozen=True, slots=True)
class Look:
    """One moment of the table. `rows` are all of them (`whole`) or the recently updated ones."""

    token: Token
    rows: tuple[Row, ...]
    whole: bool


class EvolutionTables:
    """Blocking calls, from any thread. Each raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = engine_of(database, read_only=True)
        self._mysql = database.dialect == "mysql"
        self._has_headers: bool | None = None

    def find(self, instance: str) -> Row | bool:
        """The instance's row; True: the instance has no webhook, False: there is no such instance."""
        with self._reading() as connection:
            joined = INSTANCE.outerjoin(WEBHOOK, WEBHOOK.c.instanceId == INSTANCE.c.id)
            statement = self._rows(connection).select_from(joined).where(INSTANCE.c.name == instance)
            found = connection.execute(statement).all()
        # MySQL's collation takes Acme and `acme ` for acme, and has at most one of them.
        same = [row for row in found if row[0] == instance]
        if not same:
            return False
        return True if same[0].url is None else Row(*same[0])

    def named(self, instances: Sequence[str]) -> tuple[Row, ...]:
        """The rows of these instances."""
        with self._reading() as connection:
            statement = self._rows(connection).select_from(_JOINED).where(INSTANCE.c.name.in_(instances))
            return tuple(Row(*row) for row in connection.execute(statement))

    def look(self, since: int | None) -> Look:
        """The token, and the rows updated from `since` (microseconds) on; None: all rows."""
        with self._reading() as connection:
            token = self._token(connection)
            if since is None:
                self._has_headers = None  # Evolution may have been upgraded meanwhile
            statement = self._rows(connection).select_from(_JOINED)
            if since is not None:
                statement = statement.where(self._micros(WEBHOOK.c.updatedAt) >= since)
            rows = tuple(Row(*row) for row in connection.execute(statement))
        return Look(token, rows, whole=since is None)

    def token(self) -> Token:
        with self._reading() as connection:
            return self._token(connection)

    def names(self) -> tuple[str, ...]:
        """Of all instances, with a webhook or without."""
        with self._reading() as connection:
            return tuple(connection.execute(select(INSTANCE.c.name)).scalars())

    def owners(self, token: str) -> tuple[str, ...]:
        """The names of the instances with exactly this token."""
        with self._reading() as connection:
            statement = select(INSTANCE.c.name, INSTANCE.c.token).where(INSTANCE.c.token == token)
            return tuple(name for name, found in connection.execute(statement) if found == token)

    def check(self) -> None:
        """Reads one row of each, every column that is needed."""
        with self._reading() as connection:
            self._token(connection)
            connection.execute(self._rows(connection).select_from(_JOINED).limit(1)).all()
            connection.execute(select(*INSTANCE.c).limit(1)).all()

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with errors_mapped(self._database, _REMEDIES), self._engine.connect() as connection:
            yield connection

    def _rows(self, connection: Connection) -> Select[Any]:
        """Columns in the order of Row."""
        columns = WEBHOOK.c
        return select(
            INSTANCE.c.name,
            columns.url,
            cast(columns.headers, Text).label("headers") if self._headers(connection) else null().label("headers"),
            columns.enabled,
            cast(columns.events, Text).label("events"),
            columns.webhookByEvents,
            columns.webhookBase64,
            self._micros(columns.createdAt).label("created"),
            func.coalesce(self._micros(columns.updatedAt), 0).label("updated"),
            INSTANCE.c.id,
        )

    def _headers(self, connection: Connection) -> bool:
        """Whether the table has the column (since 2.1.1)."""
        if self._has_headers is None:
            found: Result[Any] = connection.execute(select(literal_column("*")).select_from(WEBHOOK).limit(0))
            self._has_headers = "headers" in found.keys()  # noqa: SIM118 - a result, not a mapping
        return self._has_headers

    def _token(self, connection: Connection) -> Token:
        updated = self._micros(WEBHOOK.c.updatedAt)
        counted = select(func.count(), func.max(updated), func.sum(updated)).select_from(_JOINED)
        count, newest, total = connection.execute(counted).one()
        return Token(int(count), int(newest or 0), int(total or 0))

    def _micros(self, column: Column[str]) -> ColumnElement[int]:
        # Rows are compared with rows: that neither dialect says which zone it means makes no difference.
        seconds: ColumnElement[int] = func.unix_timestamp(column) if self._mysql else extract("epoch", column)
        return cast(seconds * 1_000_000, BigInteger)

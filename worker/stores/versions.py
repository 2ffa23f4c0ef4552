"""Migrations of a set of tables: its steps, applied in order, once, whoever comes first. Imports SQLAlchemy (0.4 s).

Why not Alembic: what it adds over SQLAlchemy here (an environment script, a versions folder, a template
engine, 0.2 s of import) orders a few tables' changes, and it takes no lock for replicas that start at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, inspect, select, text
from sqlalchemy.schema import CreateSchema

from worker.stores.migrating import LOCK_SECONDS, LockTimeout, NewerSchema

Step = Callable[[Connection], None]
"""Can be repeated after a crash in its middle: MySQL commits every DDL statement."""


@dataclass(frozen=True, slots=True)
class Migrations:
    """`versions` has one row (id 1): how many of `steps`, to which is only ever appended, have been applied.

    `lock` names the lock of those who migrate: PostgreSQL's advisory locks are numbered, MySQL's have names.
    """

    versions: Table
    lock: tuple[int, str]
    steps: Sequence[Step]

    def migrate(self, engine: Engine) -> int:
        """Applies what is missing under the database's own lock; returns the version.

        Raises NewerSchema, LockTimeout and SQLAlchemy's errors.
        """
        with engine.connect() as connection, _locked(connection, *self.lock):
            schema = schema_of(connection)
            if schema and not inspect(connection).has_schema(schema):
                connection.execute(CreateSchema(schema))
            self.versions.create(connection, checkfirst=True)
            applied = self._version(connection)
            if applied > len(self.steps):
                raise NewerSchema(str(applied))
            for number in range(applied, len(self.steps)):
                self.steps[number](connection)
                self._stamp(connection, number + 1)
            connection.commit()
        return len(self.steps)

    def applied(self, connection: Connection) -> int | None:
        """The schema's version; None: no tables of ours."""
        if not inspect(connection).has_table(self.versions.name, schema=schema_of(connection)):
            return None
        return self._version(connection)

    def _version(self, connection: Connection) -> int:
        found = connection.execute(select(self.versions.c.version)).scalar()
        return 0 if found is None else int(found)

    def _stamp(self, connection: Connection, version: int) -> None:
        updated = connection.execute(self.versions.update().where(self.versions.c.id == 1).values(version=version))
        if not updated.rowcount:
            connection.execute(self.versions.insert().values(id=1, version=version))


def version_table(name: str) -> Table:
    return Table(
        name,
        MetaData(),
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("version", Integer, nullable=False),
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
    )


def schema_of(connection: Connection) -> str | None:
    """The `?schema=` of the URI; None: the database's own default."""
    found: str | None = connection.get_execution_options().get("schema_translate_map", {}).get(None)
    return found


def qualified(connection: Connection, table: str) -> str:
    """The table's name as SQL text has it, with the schema of the URI."""
    quote = connection.dialect.identifier_preparer.quote
    return ".".join(map(quote, filter(None, (schema_of(connection), table))))


@contextmanager
def _locked(connection: Connection, number: int, name: str) -> Iterator[None]:
    """One process at a time. SQLite: the engine begins transactions with BEGIN IMMEDIATE, which is the lock."""
    match connection.dialect.name:
        case "postgresql":  # until the end of the transaction
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": number})
            yield
        case "mysql" | "mariadb":
            waiting = {"name": name, "seconds": LOCK_SECONDS}
            if connection.execute(text("SELECT GET_LOCK(:name, :seconds)"), waiting).scalar() != 1:
                raise LockTimeout
            try:
                yield
            finally:
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), waiting)
        case _:
            yield

"""Schema migrations: the list of steps.py, applied in order, once, whoever comes first.

Why not Alembic: what it adds over SQLAlchemy here (an environment script, a versions folder, a template
engine, 0.2 s of import) orders three tables' changes, and it takes no lock for replicas that start at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.schema import CreateColumn, CreateSchema

from worker.stores.migrating import LOCK_SECONDS, LockTimeout, NewerSchema
from worker.stores.own.schema import REVISIONS, SCHEMA, WEBHOOKS
from worker.stores.own.steps import SCHEMA_VERSION, STEPS, AddColumn, CreateTables, Step

_LOCK_ID = 0x6576_6F77  # any constant of our own: PostgreSQL's advisory locks are numbered


def _take(step: Step, connection: Connection) -> None:
    match step:
        case CreateTables():
            for table in (WEBHOOKS, REVISIONS):
                table.create(connection, checkfirst=True)
        case AddColumn(name):
            _add_column(connection, name)


def _add_column(connection: Connection, name: str) -> None:
    schema = _schema(connection)
    if any(column["name"] == name for column in inspect(connection).get_columns(WEBHOOKS.name, schema)):
        return  # a table made by now, or a migration that crashed after this
    quote = connection.dialect.identifier_preparer.quote
    table = ".".join(map(quote, filter(None, (schema, WEBHOOKS.name))))
    column = CreateColumn(WEBHOOKS.c[name]).compile(dialect=connection.dialect)
    connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column}"))


def migrate(engine: Engine) -> int:
    """Applies what is missing under the database's own lock; returns the version."""
    with engine.connect() as connection, _locked(connection):
        schema = _schema(connection)
        if schema and not inspect(connection).has_schema(schema):
            connection.execute(CreateSchema(schema))
        SCHEMA.create(connection, checkfirst=True)
        applied = _version(connection)
        if applied > SCHEMA_VERSION:
            raise NewerSchema(str(applied))
        for number in range(applied, SCHEMA_VERSION):
            _take(STEPS[number], connection)
            _stamp(connection, number + 1)
        connection.commit()
    return SCHEMA_VERSION


def applied_version(connection: Connection) -> int | None:
    """The schema's version; None: no tables of ours."""
    if not inspect(connection).has_table(SCHEMA.name, schema=_schema(connection)):
        return None
    return _version(connection)


def _schema(connection: Connection) -> str | None:
    """The `?schema=` of the URI; None: the database's own default."""
    found: str | None = connection.get_execution_options().get("schema_translate_map", {}).get(None)
    return found


def _version(connection: Connection) -> int:
    found = connection.execute(select(SCHEMA.c.version)).scalar()
    return 0 if found is None else int(found)


def _stamp(connection: Connection, version: int) -> None:
    updated = connection.execute(SCHEMA.update().where(SCHEMA.c.id == 1).values(version=version))
    if not updated.rowcount:
        connection.execute(SCHEMA.insert().values(id=1, version=version))


@contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    """One process at a time. SQLite: the engine begins transactions with BEGIN IMMEDIATE, which is the lock."""
    match connection.dialect.name:
        case "postgresql":  # until the end of the transaction
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
            yield
        case "mysql" | "mariadb":
            name = {"name": "webhook_worker_migrate", "seconds": LOCK_SECONDS}
            if connection.execute(text("SELECT GET_LOCK(:name, :seconds)"), name).scalar() != 1:
                raise LockTimeout
            try:
                yield
            finally:
                connection.execute(text("SELECT RELEASE_LOCK(:name)"), name)
        case _:
            yield

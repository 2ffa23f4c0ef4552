"""The steps of steps.py as statements on the worker's own tables. Imports SQLAlchemy (0.4 s)."""

from functools import partial

from sqlalchemy import Connection, Table, inspect, text
from sqlalchemy.schema import CreateColumn

from worker.stores.own.schema import REVISIONS, SCHEMA, WEBHOOKS
from worker.stores.own.steps import STEPS, AddColumn, CreateTables, Step
from worker.stores.versions import Migrations, qualified, schema_of


def _take(step: Step, connection: Connection) -> None:
    match step:
        case CreateTables():
            for table in (WEBHOOKS, REVISIONS):
                table.create(connection, checkfirst=True)
        case AddColumn(name, of_revisions):
            _add_column(connection, REVISIONS if of_revisions else WEBHOOKS, name)


def _add_column(connection: Connection, table: Table, name: str) -> None:
    if any(column["name"] == name for column in inspect(connection).get_columns(table.name, schema_of(connection))):
        return  # a table made by now, or a migration that crashed after this
    column = CreateColumn(table.c[name]).compile(dialect=connection.dialect)
    connection.execute(text(f"ALTER TABLE {qualified(connection, table.name)} ADD COLUMN {column}"))


MIGRATIONS = Migrations(
    SCHEMA,
    (0x6576_6F77, "webhook_worker_migrate"),  # any constant of our own
    [partial(_take, step) for step in STEPS],
)
migrate = MIGRATIONS.migrate
applied_version = MIGRATIONS.applied

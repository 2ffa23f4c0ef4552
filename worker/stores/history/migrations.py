"""The steps from nothing to today's tables of the history. Imports SQLAlchemy (0.4 s)."""

from sqlalchemy import Connection

from worker.stores.history.schema import BATCHES, JOBS, LISTENING, PRODUCERS, TROUBLES, VERSIONS, history_of
from worker.stores.versions import Migrations


def _create_tables(connection: Connection) -> None:
    for table in (history_of(connection.dialect.name), BATCHES, PRODUCERS):
        table.create(connection, checkfirst=True)


def _create_troubles(connection: Connection) -> None:
    TROUBLES.create(connection, checkfirst=True)


def _create_jobs(connection: Connection) -> None:
    JOBS.create(connection, checkfirst=True)


def _create_listening(connection: Connection) -> None:
    LISTENING.create(connection, checkfirst=True)


MIGRATIONS = Migrations(
    VERSIONS,
    (0x6576_6F78, "webhook_worker_history"),  # another constant than the webhooks' tables
    (_create_tables, _create_troubles, _create_jobs, _create_listening),
)
"""Append only."""

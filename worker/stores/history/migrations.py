"""The steps from nothing to today's tables of the history. Imports SQLAlchemy (0.4 s)."""

from sqlalchemy import Connection, Index, Table, inspect, text

from worker.stores.history import counters
from worker.stores.history.schema import (
    BATCHES,
    HAS_UNUSUAL,
    JOBS,
    LASTS,
    LISTENING,
    MINUTES,
    OF_ENDPOINT,
    OF_UNUSUAL,
    PRODUCERS,
    TOTALS,
    TROUBLES,
    USUAL,
    VERSIONS,
    history_of,
)
from worker.stores.versions import Migrations, qualified, schema_of

_HEALTH = "webhook_history_health"
"""The index from which health was counted."""


def _create_tables(connection: Connection) -> None:
    for table in (history_of(connection.dialect.name), BATCHES, PRODUCERS):
        table.create(connection, checkfirst=True)


def _create_troubles(connection: Connection) -> None:
    TROUBLES.create(connection, checkfirst=True)


def _create_jobs(connection: Connection) -> None:
    JOBS.create(connection, checkfirst=True)


def _create_listening(connection: Connection) -> None:
    LISTENING.create(connection, checkfirst=True)


def _count_beside_the_rows(connection: Connection) -> None:
    """Ten million rows take a minute. Trade-off: what a writer of an older version adds later is not counted."""
    history = history_of(connection.dialect.name)
    for table in (MINUTES, LASTS):
        table.create(connection, checkfirst=True)
    _index_of(history, OF_ENDPOINT).create(connection, checkfirst=True)
    counters.count_anew(connection, history)
    # Last: it keeps readers away until the transaction ends.
    if any(each["name"] == _HEALTH for each in inspect(connection).get_indexes(history.name, schema_of(connection))):
        of_table = f" ON {history.name}" if connection.dialect.name in ("mysql", "mariadb") else ""
        connection.execute(text(f"DROP INDEX {qualified(connection, _HEALTH) if not of_table else _HEALTH}{of_table}"))


def _index_the_unusual_alone(connection: Connection) -> None:
    """Of three columns. MySQL has no such indexes."""
    if connection.dialect.name not in ("sqlite", "postgresql"):
        return
    table = history_of(connection.dialect.name)
    for index in table.indexes:
        if index.name in [f"{table.name}_{column}" for column in USUAL]:
            index.drop(connection, checkfirst=True)
            index.create(connection)


def _count_in_all(connection: Connection) -> None:
    TOTALS.create(connection, checkfirst=True)
    counters.total_anew(connection)


def _index_what_is_unusual_of_an_instance(connection: Connection) -> None:
    """Ten million rows take 10 s."""
    if connection.dialect.name in HAS_UNUSUAL:
        _index_of(history_of(connection.dialect.name), OF_UNUSUAL).create(connection, checkfirst=True)


def _index_of(table: Table, name: str) -> Index:
    return next(index for index in table.indexes if index.name == name)


MIGRATIONS = Migrations(
    VERSIONS,
    (0x6576_6F78, "webhook_worker_history"),  # another constant than the webhooks' tables
    (
        _create_tables,
        _create_troubles,
        _create_jobs,
        _create_listening,
        _count_beside_the_rows,
        _index_the_unusual_alone,
        _count_in_all,
        _index_what_is_unusual_of_an_instance,
    ),
)
"""Append only."""

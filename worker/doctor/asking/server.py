"""A database server's own view: its clock, and what the user may create. Imports SQLAlchemy (0.4 s)."""

import time
from dataclasses import dataclass

from sqlalchemy import Connection, text

from worker.stores.database import Database
from worker.stores.engine import engine_of, errors_mapped

_POSTGRESQL_CLOCK = "SELECT extract(epoch FROM clock_timestamp())"
# Its unix_timestamp() of a time goes by the session's zone, and is an hour wrong when the clocks go back.
_MYSQL_CLOCK = "SELECT timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) / 1000000"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server's clock is `ahead` of ours, give or take `uncertain` (seconds).

    `may_create`: whether the user may make tables; None: only a try would tell (MySQL).
    """

    ahead: float
    uncertain: float
    may_create: bool | None


def server_facts(database: Database) -> ServerFacts | None:
    """Blocking. None: SQLite has no server. Raises StoreUnavailable."""
    if database.dialect == "sqlite":
        return None
    with errors_mapped(database):
        engine = engine_of(database, read_only=True)
        try:
            with engine.connect() as connection:
                postgresql = database.dialect == "postgresql"
                clock = text(_POSTGRESQL_CLOCK if postgresql else _MYSQL_CLOCK)
                connection.execute(clock)  # connecting is not part of the measured time
                before = time.time()
                there = float(connection.execute(clock).scalar_one())
                after = time.time()
                may_create = _may_create(connection, database.schema) if postgresql else None
        finally:
            engine.dispose()
    return ServerFacts(there - (before + after) / 2, (after - before) / 2, may_create)


def _may_create(connection: Connection, schema: str | None) -> bool:
    """In the schema of the URI, or that schema itself while it does not exist."""
    found = connection.execute(
        text(
            "SELECT CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')"
            " ELSE has_schema_privilege(n.oid, 'CREATE') END"
            " FROM (SELECT coalesce(CAST(:schema AS text), current_schema()) AS name) AS wanted"
            " LEFT JOIN pg_namespace AS n ON n.nspname = wanted.name"
        ),
        {"schema": schema},
    )
    return bool(found.scalar_one())

"""A database server's own view: its clock, and what the user may create. Imports SQLAlchemy (0.4 s)."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from worker.doctor.database import OWN_TABLES
from worker.stores.database import Database
from worker.stores.engine import engine_of, errors_mapped

_POSTGRESQL_CLOCK = "SELECT extract(epoch FROM clock_timestamp())"
# Its unix_timestamp() of a time goes by the session's zone, and is an hour wrong when the clocks go back.
_MYSQL_CLOCK = "SELECT timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) / 1000000"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server's clock is `ahead` of ours, give or take `uncertain` (seconds).

    `may_create`: whether the user may make tables. `may_write`: whether it may write the worker's, where they exist.
    None: only a try would tell (MySQL, unless its grants lack it for certain).
    """

    ahead: float
    uncertain: float
    may_create: bool | None
    may_write: bool | None = None


def server_facts(database: Database, tables: Sequence[str] = OWN_TABLES) -> ServerFacts | None:
    """Of the rights to these tables. Blocking. None: SQLite has no server. Raises StoreUnavailable."""
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
                rights: tuple[bool | None, bool | None]
                if postgresql:
                    rights = _may_create(connection, database.schema), _may_write(connection, database.schema, tables)
                else:
                    rights = _mysql_rights(connection)
        finally:
            engine.dispose()
    return ServerFacts(there - (before + after) / 2, (after - before) / 2, *rights)


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


def _may_write(connection: Connection, schema: str | None, tables: Sequence[str]) -> bool | None:
    """All of these tables that exist in the schema of the URI; None: there is none."""
    found = connection.execute(
        text(
            "SELECT bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')"
            " AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))"
            " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE n.nspname = coalesce(CAST(:schema AS text), current_schema()) AND c.relname = ANY(:tables)"
        ),
        {"schema": schema, "tables": list(tables)},
    )
    answer = found.scalar_one()
    return None if answer is None else bool(answer)


def _mysql_rights(connection: Connection) -> tuple[bool | None, bool | None]:
    """(may create, may write): False where no grant of the user has it for this database."""
    database = str(connection.execute(text("SELECT database()")).scalar_one())
    return mysql_rights([str(line) for line in connection.execute(text("SHOW GRANTS")).scalars()], database)


def mysql_rights(grants: Sequence[str], database: str) -> tuple[bool | None, bool | None]:
    """(may create, may write) by the lines of SHOW GRANTS. A role's rights are not in them: None with one."""
    held: set[str] = set()
    for line in grants:
        found = _GRANT.match(line)
        if found is None:
            return None, None
        if _is_for(found["database"], database):
            held.update(right.split("(")[0].strip() for right in found["rights"].upper().split(","))
    if "ALL PRIVILEGES" in held:
        return None, None
    return (None if held >= {"CREATE", "ALTER"} else False), (None if held >= _WRITES else False)


_GRANT = re.compile(
    r"GRANT (?P<rights>.+?) ON (?:TABLE )?(?P<database>\*|`(?:[^`]|``)*`)\.(?:\*|`(?:[^`]|``)*`) TO ", re.IGNORECASE
)
_WRITES = {"SELECT", "INSERT", "UPDATE", "DELETE"}


def _is_for(quoted: str, database: str) -> bool:
    """A grant's database may hold the wildcards `%` and `_`, escaped by a backslash where they stand for themselves."""
    if quoted == "*":
        return True
    pattern = re.sub(r"\\(.)|(%)|(_)|(.)", _as_regex, quoted[1:-1].replace("``", "`"))
    return re.fullmatch(pattern, database, re.DOTALL) is not None


def _as_regex(found: re.Match[str]) -> str:
    escaped, many, one, plain = found.groups()
    return ".*" if many else "." if one else re.escape(escaped or plain)

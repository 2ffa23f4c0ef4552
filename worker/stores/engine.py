"""The SQLAlchemy engine of each database, and what its errors mean. Imports SQLAlchemy (0.4 s)."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from worker.stores.database import Database, sqlite_problem
from worker.stores.migrating import LOCK_SECONDS, LockTimeout, NewerSchema
from worker.stores.sqlite import connect, create_file, keep_a_log
from worker.webhooks.store import RightsLacking, StoreUnavailable

CONNECTIONS = 4
TIMEOUT_SECONDS = 5
"""For connecting, and for a free connection."""


def engine_of(database: Database, *, create: bool = False, read_only: bool = False, unhurried: bool = False) -> Engine:
    """An engine that has not connected yet. `create`: SQLite's file may be made.

    `read_only` (servers only): the server itself refuses every write, and a transaction sees one moment. `unhurried`:
    a statement may take as long as it takes, as an index over millions of rows does.
    """
    if database.path is not None:
        return _sqlite(database.path, create=create)
    options = database.options
    engine = create_engine(
        server_url(database),
        connect_args=_arguments(database, read_only=read_only, unhurried=unhurried),
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        hide_parameters=True,
        pool_size=min(options.pool_size or CONNECTIONS, CONNECTIONS),
        max_overflow=0,
        pool_timeout=options.pool_timeout or TIMEOUT_SECONDS,
        pool_pre_ping=True,
        pool_recycle=1800,
    )
    if options.pooler:
        _set_in_each_transaction(engine, database, read_only=read_only, unhurried=unhurried)
    return engine.execution_options(schema_translate_map={None: database.schema} if database.schema else {})


def server_url(database: Database) -> URL:
    """Of user, host and database; the URI's options are arguments of the driver."""
    at = database.address
    driver = _DRIVERS[database.dialect]
    return URL.create(driver, at.user, at.password, at.host or None, at.port, database.name)


def _arguments(database: Database, *, read_only: bool, unhurried: bool) -> dict[str, Any]:
    if database.dialect == "mysql":
        return _mysql_arguments(database, read_only=read_only) | ({"read_timeout": None} if unhurried else {})
    return postgresql_arguments(database) | _postgresql_session(database, read_only=read_only, unhurried=unhurried)


def postgresql_arguments(database: Database) -> dict[str, Any]:
    """Arguments of psycopg beside user, host and database."""
    options = database.options
    without_session = {"prepare_threshold": None} if options.pooler else {}
    return _POSTGRESQL | dict(options.arguments) | without_session


def _postgresql_session(database: Database, *, read_only: bool, unhurried: bool) -> dict[str, str]:
    """The URI's own `options` come last and so win. PgBouncer refuses ours: it gives a session to many."""
    given = str(database.options.arguments.get("options", ""))
    if database.options.pooler:
        return {"options": given} if given else {}
    reading = " -c default_transaction_read_only=on" if read_only else ""
    return {
        "options": f"-c statement_timeout={_statement_seconds(database, unhurried=unhurried)}s{reading} {given}".strip()
    }


def _statement_seconds(database: Database, *, unhurried: bool) -> int:
    """0: no limit."""
    return 0 if unhurried else min(database.options.socket_timeout or LOCK_SECONDS, LOCK_SECONDS)


def _set_in_each_transaction(engine: Engine, database: Database, *, read_only: bool, unhurried: bool) -> None:
    """Trade-off: one more round trip for each transaction, as PgBouncer keeps no session for us."""
    timeout = f"SET LOCAL statement_timeout = '{_statement_seconds(database, unhurried=unhurried)}s'"

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(timeout)
        if read_only:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    event.listen(engine, "begin", begun)


def _mysql_arguments(database: Database, *, read_only: bool) -> dict[str, Any]:
    options = database.options
    reading = {"init_command": "SET SESSION TRANSACTION READ ONLY"} if read_only else {}
    seconds = {"read_timeout": options.socket_timeout} if options.socket_timeout else {}
    tls: dict[str, Any] = {"ssl_disabled": True} if options.tls == "off" else {}
    if options.tls not in (None, "off"):
        tls = {"ssl": _tls(database)}
    return _MYSQL | dict(options.arguments) | reading | seconds | tls


def _tls(database: Database) -> ssl.SSLContext:
    """PyMySQL refuses a server without TLS when it is given one. Raises StoreUnavailable for files that are none."""
    options = database.options
    try:
        context = ssl.create_default_context(cafile=options.ca)
        context.check_hostname = options.tls == "identity"
        context.verify_mode = ssl.CERT_NONE if options.tls == "none" else ssl.CERT_REQUIRED
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # MySQL's own generated CAs lack an extension
        if options.certificate:  # with a password, so that an encrypted key never asks a terminal
            context.load_cert_chain(options.certificate, options.key, password="")
    except OSError as error:
        raise database.unavailable(f"a file of its TLS options cannot be used: {error.strerror or error}") from None
    return context


_POSTGRESQL: dict[str, Any] = {
    "connect_timeout": TIMEOUT_SECONDS,
    # A server that vanished without a word is noticed after 25 s instead of two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_MYSQL: dict[str, Any] = {
    "connect_timeout": TIMEOUT_SECONDS,
    "read_timeout": LOCK_SECONDS + TIMEOUT_SECONDS,
    "write_timeout": TIMEOUT_SECONDS,
    "charset": "utf8mb4",
}
_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}


def _sqlite(path: Path, *, create: bool) -> Engine:
    """No pool: opening costs 0.1 ms, and a file put in the place of the old one is then always seen."""

    def creator() -> SqliteConnection:
        if create:
            create_file(path)
        connection = connect(path, create=create)
        if create:
            keep_a_log(connection)
        return connection

    engine = create_engine("sqlite://", creator=creator, poolclass=NullPool, hide_parameters=True)
    event.listen(engine, "begin", _begin_immediate)
    return engine


ONLY_READS = {"worker_only_reads": True}
"""Execution options of an engine whose transactions write nothing: on SQLite they wait for no writer."""


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once when another process wrote between.
    only_reads = connection.get_execution_options().get("worker_only_reads", False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


_MIGRATE = "lacks the worker's tables: run `webhook-worker migrate`"
_RIGHTS = "its user lacks the rights to create, read and write the tables `webhook*`: grant them"
Remedies = Mapping[str | int, str]
"""PostgreSQL's SQLSTATE, MySQL's error number or SQLite's words -> what is wrong and what to do."""

_NO_TABLE = "no such table"


def remedies(no_tables: str, no_rights: str) -> Remedies:
    found: dict[str | int, str] = dict.fromkeys(("42P01", "3F000", 1146, _NO_TABLE), no_tables)
    return found | dict.fromkeys(_NO_RIGHTS, no_rights)


_NO_RIGHTS = ("42501", 1142, 1143, 1044)


OWN_REMEDIES = remedies(_MIGRATE, _RIGHTS)


@contextmanager
def errors_mapped(database: Database, known: Remedies = OWN_REMEDIES) -> Iterator[None]:
    """Turns the library's errors into StoreUnavailable."""
    try:
        yield
    except NewerSchema as error:
        raise database.unavailable(
            f"its schema has version {error}, made by a newer worker: run that version, or restore a backup"
        ) from None
    except LockTimeout:
        raise database.unavailable("another process has been migrating it for too long") from None
    except DBAPIError as error:
        raise _unavailable(database, error.orig, known) from error
    except PoolTimeout:
        seconds = database.options.pool_timeout or TIMEOUT_SECONDS
        text = f"all connections that this process may have are busy, none was free within {seconds:g} s: try again"
        raise database.unavailable(text) from None
    except SQLAlchemyError as error:
        raise database.unavailable(f"failed: {error}") from error


def _unavailable(database: Database, error: BaseException | None, known: Remedies) -> StoreUnavailable:
    message = str(error).strip()
    if database.dialect == "sqlite":
        return database.unavailable(known[_NO_TABLE] if _NO_TABLE in message else sqlite_problem(message))
    codes = (getattr(error, "sqlstate", None), *(error.args[:1] if error else ()))
    remedy = next((known[code] for code in codes if code in known), None)
    problem = remedy or f"failed: {message.splitlines()[0] if message else 'no reason given'}"
    lacking = any(code in _NO_RIGHTS for code in codes)
    return database.unavailable(problem, RightsLacking if lacking else StoreUnavailable)

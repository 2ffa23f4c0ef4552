"""DATABASE_CONNECTION_URI: which database, how it may be shown, and what its failures mean to an operator."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from worker.webhooks.store import StoreUnavailable

SETTING = "DATABASE_CONNECTION_URI"

Dialect = Literal["sqlite", "postgresql", "mysql"]
_DIALECTS: dict[str, Dialect] = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
}


@dataclass(frozen=True, slots=True)
class Database:
    """A parsed URI. `shown` has no credentials; `path` is SQLite's file, `schema` PostgreSQL's.

    `setting` is where it came from, for texts.
    """

    uri: str = field(repr=False)
    dialect: Dialect
    shown: str
    path: Path | None = None
    schema: str | None = None
    setting: str = SETTING

    def unavailable(self, problem: str, kind: type[StoreUnavailable] = StoreUnavailable) -> StoreUnavailable:
        return kind(f"{self.setting} {self.shown}: {problem}")


def parse(uri: str) -> Database:
    """Raises ValueError, without credentials in its text."""
    scheme, separator, rest = uri.partition("://")
    dialect = _DIALECTS.get(scheme.lower())
    if dialect is None or not separator:
        raise ValueError("must begin with sqlite:///, postgresql:// or mysql://")
    if dialect == "sqlite":
        return _sqlite(uri, rest)
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise ValueError("is malformed: percent-encode special characters of user and password") from None
    if not parts.hostname or not parts.path.strip("/"):
        raise ValueError(f"must name host and database, as in {dialect}://user:password@host/evolution")
    host = parts.hostname + (f":{port}" if port else "")
    options = parse_qs(parts.query)
    unknown = sorted(options.keys() - PRISMA_OPTIONS - _DRIVER_OPTIONS[dialect])
    if unknown:
        allowed = ", ".join(sorted({"schema", *_DRIVER_OPTIONS[dialect]}))
        raise ValueError(f"has the unknown option {unknown[0]!r}: allowed are {allowed}")
    return Database(uri, dialect, f"{scheme}://{host}{parts.path}", schema=options.get("schema", [None])[-1])


PRISMA_OPTIONS = frozenset(
    {"schema", "connection_limit", "pool_timeout", "connect_timeout", "socket_timeout", "pgbouncer"}
)
"""Options for Evolution's own client, which the drivers do not take; of these only `schema` means something here."""

_DRIVER_OPTIONS: dict[Dialect, frozenset[str]] = {
    "sqlite": frozenset(),
    "postgresql": frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "application_name"}),
    "mysql": frozenset({"ssl_ca", "ssl_cert", "ssl_key"}),
}


def _sqlite(uri: str, rest: str) -> Database:
    path = unquote(rest[1:])
    if not rest.startswith("/") or not path or path == ":memory:" or "?" in path:
        raise ValueError("must name a file: sqlite:///relative.db or sqlite:////absolute/path.db")
    return Database(uri, "sqlite", uri, path=Path(path))


_SQLITE_PROBLEMS = (
    ("unable to open", "cannot be opened: its folder must exist and be writable for this user"),
    ("readonly", "is read-only: this user must be able to write the file and its folder"),
    ("locked", "is locked by another process: end what holds a transaction open on it"),
    ("disk is full", "cannot be written, the disk is full: free some space"),
    ("disk i/o", "cannot be read or written (disk I/O error): check disk space and the file system"),
    ("malformed", "is damaged: restore a backup, or move the file away and set the webhooks again"),
    ("not a database", "is not an SQLite database: name another file, or restore a backup"),
    ("no such table", "lacks the worker's tables: run `webhook-worker migrate`"),
    ("no such column", "lacks a column: run `webhook-worker migrate`"),
)


def sqlite_problem(message: str) -> str:
    """What an SQLite error message means, with the remedy."""
    lower = message.lower()
    return next((text for sign, text in _SQLITE_PROBLEMS if sign in lower), f"failed: {message}")

"""DATABASE_CONNECTION_URI: which database, how it may be shown, and what its failures mean to an operator."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from worker.basics.address import Address
from worker.stores.options import Options, read_options
from worker.webhooks.store import StoreUnavailable

SETTING = "DATABASE_CONNECTION_URI"

Dialect = Literal["sqlite", "postgresql", "mysql"]
# Beside Evolution's two: Heroku's and Rails' names, MariaDB's, and SQLAlchemy's with the drivers that are used.
_DIALECTS: dict[str, Dialect] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "postgresql+psycopg": "postgresql",
    "mysql": "mysql",
    "mysql2": "mysql",
    "mysql+pymysql": "mysql",
    "mariadb": "mysql",
}
_ALLOWED = "sqlite:///<path>, postgresql://<host>/<database> or mysql://<host>/<database>"


@dataclass(frozen=True, slots=True)
class Database:
    """A parsed URI. `shown` has no credentials; `path` is SQLite's file, `name` the database on a server.

    `setting` is where it came from, for texts.
    """

    dialect: Dialect
    shown: str
    address: Address = field(repr=False)
    path: Path | None = None
    name: str = ""
    options: Options = field(default_factory=Options)
    setting: str = SETTING

    @property
    def schema(self) -> str | None:
        """The one with our tables; None: the connection's own."""
        return self.options.schema

    def unavailable(self, problem: str, kind: type[StoreUnavailable] = StoreUnavailable) -> StoreUnavailable:
        """A driver's text in `problem` may quote the password: it is masked."""
        return kind(f"{self.setting} {self.shown}: {self.address.clean(problem)}")

    def __str__(self) -> str:
        return self.shown


def parse(uri: "str | Database") -> Database:
    """Raises ValueError, without credentials in its text."""
    if isinstance(uri, Database):
        return uri
    try:
        return _sqlite(uri) if uri.lower().startswith("sqlite:") else _on_server(uri)
    except ValueError as error:
        raise ValueError(f"must be {error}") from None


def _on_server(uri: str) -> Database:
    if uri.partition("://")[0].lower() not in _DIALECTS or "://" not in uri:
        raise ValueError(_ALLOWED)
    scheme = uri.partition("://")[0]
    address = Address.parse(uri, tuple(_DIALECTS), without_host=True)
    dialect, name = _DIALECTS[address.scheme], address.decoded_path
    if not name or "/" in address.path[1:]:
        raise ValueError(f"a URI that names one database: {scheme}://<user>:<password>@<host>/<database>")
    try:
        options = read_options(dialect, address.options, address.host, address.port)
    except ValueError as error:
        raise ValueError(f"a URI whose {error}") from None
    if not address.host and not {"host", "unix_socket"} & options.arguments.keys():
        raise ValueError(f"a URI with a host: {scheme}://<user>:<password>@<host>/<database>")
    return Database(dialect, f"{scheme}://{address.server}{address.path}", address, name=name, options=options)


def _sqlite(uri: str) -> Database:
    """Its path is percent-decoded; SQLite's own options have no place there."""
    rest = uri[len("sqlite:") :]
    path = unquote(rest[3:])
    if not rest.startswith("///") or not path or path == ":memory:" or "\0" in path:
        raise ValueError("a file: sqlite:///relative.db or sqlite:////absolute/path.db")
    if "?" in path or "#" in rest:
        raise ValueError("a file without options: sqlite:///relative.db or sqlite:////absolute/path.db")
    return Database("sqlite", uri, Address("sqlite", "", rest[2:]), path=Path(path))


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

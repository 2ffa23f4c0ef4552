"""The options of DATABASE_CONNECTION_URI: what each means to the worker, as Evolution's client and drivers write them.

Every option that is accepted has its effect; any other is refused by name.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

Verification = Literal["off", "none", "ca", "identity"]
"""No TLS; TLS with any certificate; with one of the CA's; with one of the CA's for this host."""


@dataclass(frozen=True, slots=True)
class Options:
    """`arguments` are the driver's own; times are in seconds.

    `pooler`: between us and PostgreSQL stands one that gives a connection for a
    transaction at a time (PgBouncer), so nothing may be kept in a session. `tls` is MySQL's (None: TLS with any
    certificate if the server offers it), with the files of its CA, certificate and key.
    """

    arguments: Mapping[str, str | int | None] = field(default_factory=dict, repr=False, hash=False)
    schema: str | None = None
    pool_size: int | None = None
    pool_timeout: int | None = None
    socket_timeout: int | None = None
    pooler: bool = False
    tls: Verification | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


Reader = Callable[[Options, str], Options]
"""What an option's value makes of the options before it. Raises ValueError, worded to follow "must be"."""


def read_options(dialect: str, given: Mapping[str, str], host: str, port: int | None = None) -> Options:
    """Raises ValueError, worded to follow "must be a URI whose", that never quotes a value."""
    known, found = _READERS[dialect], Options(pooler=dialect == "postgresql" and _is_pooler(host, port))
    for name, value in sorted(given.items(), key=lambda item: item[0] in _LAST):
        reader = known.get(name)
        if reader is None:
            raise ValueError(f"options are known: unknown option {name!r}: allowed are {', '.join(sorted(known))}")
        try:
            found = reader(found, value)
        except ValueError as error:
            raise ValueError(f"option {name!r} is {error}") from None
    if found.ca and found.tls in (None, "none") and "sslaccept" not in given:
        found = replace(found, tls="ca")  # as MySQL's own clients: a CA with REQUIRED is VERIFY_CA
    _agree(dialect, found)
    return found


def _is_pooler(host: str, port: int | None) -> bool:
    """Neon's name for its PgBouncer; PgBouncer's own port (Azure, PlanetScale); Supabase's for its transaction mode.

    Trade-off: a PostgreSQL that itself listens there costs one more round trip a transaction; not with pgbouncer=false.
    """
    return host.partition(".")[0].endswith("-pooler") or port in (6432, 6543)


def _agree(dialect: str, found: Options) -> None:
    given = found.arguments
    pair = (found.certificate, found.key) if dialect == "mysql" else (given.get("sslcert"), given.get("sslkey"))
    if (pair[0] is None) != (pair[1] is None):
        raise ValueError("options name both a client certificate and its key, or neither")
    if given.get("sslrootcert") == "system" and given.get("sslmode") != "verify-full":
        raise ValueError("option 'sslrootcert' is system only beside sslmode=verify-full")
    if given.get("sslnegotiation") == "direct" and given.get("sslmode") not in _SSLMODES[3:]:
        raise ValueError("option 'sslnegotiation' is direct only beside sslmode=require or stricter")
    if dialect == "mysql" and found.tls == "off" and (found.ca or found.certificate):
        raise ValueError("options do not both turn TLS off and name its files")


def _argument(name: str, *allowed: str) -> Reader:
    """The driver's own, one of `allowed` (any text when there is none)."""

    def read(before: Options, value: str) -> Options:
        if not value or (allowed and value not in allowed):
            raise ValueError(f"one of {', '.join(allowed)}" if allowed else "not empty")
        return replace(before, arguments={**before.arguments, name: value})

    return read


def _socket(name: str) -> Reader:
    def read(before: Options, value: str) -> Options:
        if not value.startswith("/") or "," in value:
            raise ValueError("the absolute path of a Unix socket (of its folder for PostgreSQL)")
        return replace(before, arguments={**before.arguments, name: value})

    return read


def _number(value: str, low: int, high: int) -> int:
    if value.isascii() and value.isdigit() and len(value) < 7 and low <= int(value) <= high:
        return int(value)
    raise ValueError(f"a whole number from {low} to {high}")


def _connect_timeout(before: Options, value: str) -> Options:
    return replace(before, arguments={**before.arguments, "connect_timeout": _number(value, 1, 60)})


def _pool_size(before: Options, value: str) -> Options:
    return replace(before, pool_size=_number(value, 1, 1000))


def _pool_timeout(before: Options, value: str) -> Options:
    return replace(before, pool_timeout=_number(value, 1, 60))


def _socket_timeout(before: Options, value: str) -> Options:
    return replace(before, socket_timeout=_number(value, 1, 3600))


def _schema(before: Options, value: str) -> Options:
    if not value or len(value.encode()) > 63:
        raise ValueError("a schema's name")
    return replace(before, schema=value)


def _pgbouncer(before: Options, value: str) -> Options:
    return replace(before, pooler=_flag(value))


def _flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError("true or false")
    return value == "true"


def readable(value: str) -> str:
    """The path of a file. Raises ValueError."""
    if not (Path(value).is_file() and os.access(value, os.R_OK)):
        raise ValueError("a file that can be read")
    return value


def _root(before: Options, value: str) -> Options:
    return replace(
        before, arguments={**before.arguments, "sslrootcert": value if value == "system" else readable(value)}
    )


def _file_argument(name: str) -> Reader:
    return lambda before, value: replace(before, arguments={**before.arguments, name: readable(value)})


def _libpq_ssl(before: Options, value: str) -> Options:
    """`ssl=true` of other clients."""
    mode = "require" if _flag(value) else "disable"
    return replace(before, arguments={"sslmode": mode, **before.arguments})


def _libpq_accept(before: Options, value: str) -> Options:
    """Prisma's: whether the server's certificate is verified."""
    if value not in _ACCEPT:
        raise ValueError(f"one of {', '.join(_ACCEPT)}")
    if value == "strict":
        strict = {"sslrootcert": "system"} | dict(before.arguments) | {"sslmode": "verify-full"}
        return replace(before, arguments=strict)
    return replace(before, arguments={"sslmode": "require", **before.arguments})


def _whole(name: str, low: int, high: int) -> Reader:
    return lambda before, value: replace(before, arguments={**before.arguments, name: _number(value, low, high)})


def _statement_cache(before: Options, value: str) -> Options:
    """Prisma's: 0 for poolers that keep no prepared statement."""
    kept = _number(value, 0, 100_000)
    return before if kept else replace(before, arguments={**before.arguments, "prepare_threshold": None})


def _as_libpq(before: Options, value: str) -> Options:
    """What node-postgres is told to read `sslmode` as libpq does, and so as we do."""
    if value != "true":
        raise ValueError("true")
    return before


_ACCEPT: Mapping[str, Verification] = {"strict": "identity", "accept_invalid_certs": "none"}
_MODES: Mapping[str, Verification | None] = {
    "DISABLED": "off",
    "PREFERRED": None,
    "REQUIRED": "none",
    "VERIFY_CA": "ca",
    "VERIFY_IDENTITY": "identity",
}
_JSON: Mapping[str, Verification] = {
    '{"rejectUnauthorized":true}': "identity",
    '{"rejectUnauthorized":false}': "none",
    "true": "identity",
    "false": "off",
}


def _tls(choices: Mapping[str, Verification | None], spelled: Callable[[str], str]) -> Reader:
    def read(before: Options, value: str) -> Options:
        if spelled(value) not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return replace(before, tls=choices[spelled(value)])

    return read


_LIBPQ_MODES = {
    "DISABLE": "DISABLED",
    "PREFER": "PREFERRED",
    "REQUIRE": "REQUIRED",
    "VERIFY_FULL": "VERIFY_IDENTITY",
}


def _mode(value: str) -> str:
    upper = value.upper().replace("-", "_")
    return _LIBPQ_MODES.get(upper, upper)


def _charset(before: Options, value: str) -> Options:
    """mysql2 writes a collation there: the character set is what it begins with."""
    if value.lower().partition("_")[0] != "utf8mb4":
        raise ValueError("utf8mb4")
    return replace(before, arguments={**before.arguments, "charset": "utf8mb4"})


def _ca(before: Options, value: str) -> Options:
    return replace(before, ca=readable(value))


def _certificate(before: Options, value: str) -> Options:
    return replace(before, certificate=readable(value), tls=before.tls or "none")


def _key(before: Options, value: str) -> Options:
    return replace(before, key=readable(value), tls=before.tls or "none")


_LAST = {"ssl", "sslaccept"}
"""They say how another option is meant, so they are read after it."""

_POOL: Mapping[str, Reader] = {
    "connect_timeout": _connect_timeout,
    "connection_limit": _pool_size,
    "pool_timeout": _pool_timeout,
    "socket_timeout": _socket_timeout,
}
_SESSIONS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_READERS: Mapping[str, Mapping[str, Reader]] = {
    # https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS and
    # https://www.prisma.io/docs/orm/overview/databases/postgresql#connection-details
    "postgresql": {
        **_POOL,
        "application_name": _argument("application_name"),
        "channel_binding": _argument("channel_binding", "disable", "prefer", "require"),
        "client_encoding": _argument("client_encoding", "UTF8", "utf8", "utf-8", "UTF-8"),
        "gssencmode": _argument("gssencmode", "disable", "prefer", "require"),
        "host": _socket("host"),
        "keepalives": _whole("keepalives", 0, 1),
        "keepalives_count": _whole("keepalives_count", 1, 100),
        "keepalives_idle": _whole("keepalives_idle", 0, 7200),
        "keepalives_interval": _whole("keepalives_interval", 0, 7200),
        "options": _argument("options"),
        "pgbouncer": _pgbouncer,
        "require_auth": _argument("require_auth"),
        "schema": _schema,
        "ssl": _libpq_ssl,
        "ssl_min_protocol_version": _argument("ssl_min_protocol_version", "TLSv1.2", "TLSv1.3"),
        "sslaccept": _libpq_accept,
        "sslcert": _file_argument("sslcert"),
        "sslcrl": _file_argument("sslcrl"),
        "sslkey": _file_argument("sslkey"),
        "sslmode": _argument("sslmode", *_SSLMODES),
        "sslnegotiation": _argument("sslnegotiation", "postgres", "direct"),
        "sslpassword": _argument("sslpassword"),
        "sslrootcert": _root,
        "statement_cache_size": _statement_cache,
        "target_session_attrs": _argument("target_session_attrs", *_SESSIONS),
        "uselibpqcompat": _as_libpq,
    },
    # https://dev.mysql.com/doc/refman/8.4/en/connecting-using-uri-or-key-value-pairs.html and
    # https://www.prisma.io/docs/orm/overview/databases/mysql#connection-details
    "mysql": {
        **_POOL,
        "schema": _schema,
        "charset": _charset,
        "socket": _socket("unix_socket"),
        "ssl": _tls(_JSON, lambda value: value.replace(" ", "")),
        "ssl-ca": _ca,
        "ssl-cert": _certificate,
        "ssl-key": _key,
        "ssl-mode": _tls(_MODES, _mode),
        "ssl_ca": _ca,
        "ssl_cert": _certificate,
        "ssl_key": _key,
        "ssl_mode": _tls(_MODES, _mode),
        "sslaccept": _tls(_ACCEPT, str),
        "sslcert": _ca,  # Prisma's name for the server's CA
        "sslmode": _tls(_MODES, _mode),
        "unix_socket": _socket("unix_socket"),
    },
}

"""DATABASE_CONNECTION_URI as managed offers hand it out, and what the drivers are given for it."""

import ssl
from typing import Any
from uuid import uuid4

import pytest

from tests.support.postgres import Postgres
from worker.stores.database import parse
from worker.stores.engine import engine_of

POSTGRESQL: list[tuple[str, dict[str, Any]]] = [
    # Neon: direct, and through its PgBouncer, which refuses options of a session
    ("postgresql://u:p@ep-a.eu.aws.neon.tech/db?sslmode=require&channel_binding=require",
     {"sslmode": "require", "channel_binding": "require", "options": "-c statement_timeout=30s"}),
    ("postgresql://u:p@ep-a-pooler.eu.aws.neon.tech/db?sslmode=require", {"prepare_threshold": None, "options": None}),
    ("postgresql://u:p@ep-a.aws.neon.tech/db?options=endpoint%3Dep-a",
     {"options": "-c statement_timeout=30s endpoint=ep-a"}),
    # Supabase's pooler, as its page for Prisma has it
    ("postgres://u.ref:p@aws-0.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1",
     {"prepare_threshold": None, "options": None}),
    ("postgres://u.ref:p@aws-0.pooler.supabase.com:6543/postgres", {"prepare_threshold": None, "options": None}),
    ("postgresql://u:p@aws-0.pooler.supabase.com:5432/postgres", {"options": "-c statement_timeout=30s"}),
    # PgBouncer of Azure and of PlanetScale, by its port; and a PostgreSQL that listens there itself
    ("postgres://u:p@s.postgres.database.azure.com:6432/db?sslmode=require",
     {"prepare_threshold": None, "sslmode": "require"}),
    ("postgresql://u:p@eu.pg.psdb.cloud:6432/postgres?sslmode=verify-full&sslrootcert=system",
     {"prepare_threshold": None, "sslrootcert": "system"}),
    ("postgresql://u:p@h:6432/db?pgbouncer=false", {"options": "-c statement_timeout=30s"}),
    ("postgresql://u:p@h/db?statement_cache_size=0&keepalives_idle=60&client_encoding=UTF8",
     {"prepare_threshold": None, "keepalives_idle": 60, "client_encoding": "UTF8"}),
    ("postgresql://u:p@h/db?sslmode=require&sslnegotiation=direct&require_auth=scram-sha-256",
     {"sslnegotiation": "direct", "require_auth": "scram-sha-256"}),
    # RDS, Azure, Heroku, a Unix socket, several servers
    ("postgresql://u:p@db.rds.amazonaws.com:5432/db?sslmode=verify-full&sslrootcert=system",
     {"sslmode": "verify-full", "sslrootcert": "system"}),
    ("postgresql://u%40srv:p@srv.postgres.database.azure.com/db?sslmode=require", {"sslmode": "require"}),
    ("postgres://u:p@h/db?ssl=true&uselibpqcompat=true", {"sslmode": "require"}),
    ("postgresql://u:p@h/db?sslmode=require&sslaccept=strict", {"sslmode": "verify-full", "sslrootcert": "system"}),
    ("postgresql://u@/db?host=/var/run/postgresql", {"host": "/var/run/postgresql"}),
    ("postgresql+psycopg://u:p@h/db?target_session_attrs=read-write&connect_timeout=9",
     {"target_session_attrs": "read-write", "connect_timeout": 9}),
    ("postgresql://u:p@h/db?socket_timeout=7", {"options": "-c statement_timeout=7s"}),
]  # fmt: skip


def arguments(uri: str) -> dict[str, Any]:
    """What the driver is called with."""
    engine = engine_of(parse(uri))
    given: dict[str, Any] = {}

    class Called(Exception):
        pass

    def connect(*_: Any, **keywords: Any) -> None:
        given.update(keywords)
        raise Called

    engine.dialect.loaded_dbapi.connect = connect  # type: ignore[attr-defined]
    with pytest.raises(Called):
        engine.connect()
    return given


@pytest.fixture(autouse=True)
def _drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    import psycopg
    import pymysql

    monkeypatch.setattr(psycopg, "connect", psycopg.connect)
    monkeypatch.setattr(pymysql, "connect", pymysql.connect)


@pytest.mark.parametrize(("uri", "expected"), POSTGRESQL)
def test_postgresql_of(uri: str, expected: dict[str, Any]) -> None:
    given = arguments(uri)
    assert {name: given.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("query", "identity", "verified"),
    [
        ("sslaccept=strict", True, True),  # PlanetScale and TiDB
        ('ssl={"rejectUnauthorized":true}', True, True),  # PlanetScale for Node
        ("ssl=%7B%22rejectUnauthorized%22%3Atrue%7D", True, True),
        ("ssl-mode=REQUIRED", False, False),  # DigitalOcean and Aiven
        ("ssl-mode=VERIFY_CA", False, True),
        ("sslmode=verify-full", True, True),
        ("sslmode=require", False, False),  # Azure
        ("sslmode=require&sslaccept=strict", True, True),
        ("sslaccept=accept_invalid_certs", False, False),
    ],
)
def test_tls_of_mysql(query: str, identity: bool, verified: bool) -> None:
    context = arguments(f"mysql2://u:p@h/db?{query}")["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.check_hostname, context.verify_mode == ssl.CERT_REQUIRED) == (identity, verified)


def test_a_ca_with_tls_required_is_verified() -> None:
    ca = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    assert arguments(f"mysql://u:p@h/db?ssl-mode=REQUIRED&ssl_ca={ca}")["ssl"].verify_mode == ssl.CERT_REQUIRED
    assert arguments("mysql://u:p@h/db?ssl-mode=DISABLED&charset=utf8mb4")["ssl_disabled"] is True
    assert arguments("mysql://u:p@h/db?charset=UTF8MB4_UNICODE_CI")["charset"] == "utf8mb4"


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://u:Geheim@h", "postgresql://u:Geheim@h/", "mysql://u:Geheim@h/a/b", "sqlite:///w.db?mode=ro",
        "sqlite:///w.db#x", "postgresql+asyncpg://u:Geheim@h/d", "postgresql://u:Geheim@h/d?sslmode=sometimes",
        "postgresql://u:Geheim@h/d?sslrootcert=/none.pem", "postgresql://u:Geheim@h/d?sslrootcert=system",
        "postgresql://u:Geheim@h/d?sslcert=/etc/hostname", "postgresql://u:Geheim@h/d?host=Geheim",
        "postgresql://u:Geheim@h/d?pgbouncer=maybe", "mysql://u:Geheim@h/d?charset=latin1",
        'mysql://u:Geheim@h/d?ssl={"rejectUnauthorized":Geheim}', "mysql://u:Geheim@h/d?connection_limit=many",
        "postgresql://u:Geheim@h/%FF", "postgresql://u:Geheim@h/d?sslpassword", "mysql://u:Gehe#im@h/d",
        "mysql://u:Geheim@h/d?ssl-mode=DISABLED&ssl_ca=/etc/hostname", "postgresql://u:Geheim@h/d?sslnegotiation=direct",
        "postgresql://u:Geheim@h/d?keepalives=Geheim", "postgresql://u:Geheim@h/d?sslidentity=/etc/hostname",
        "postgresql://u:Geheim@h/d?charset=utf8", "mysql://u:Geheim@h/d?charset=utf8mb3_general_ci",
    ],
)  # fmt: skip
def test_what_would_not_be_heeded_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"^must be ") as caught:
        parse(uri)
    assert "Gehe" not in str(caught.value)


def test_behind_a_pooler_each_transaction_has_its_time_limit_and_writes_nothing(postgres: Postgres) -> None:
    engine = engine_of(parse(postgres.create_database(f"test_{uuid4().hex}") + "?pgbouncer=true"), read_only=True)
    try:
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar_one() == "30s"
            assert connection.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on"
        with engine.raw_connection().driver_connection.cursor() as cursor:  # type: ignore[union-attr]
            assert cursor.execute("SHOW statement_timeout").fetchone() == ("0",)
    finally:
        engine.dispose()

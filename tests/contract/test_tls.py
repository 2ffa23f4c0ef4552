"""Databases over TLS: each option of the URI against a real server, with the user that it was made for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from tests.support.mariadb import MariaDB
from tests.support.mysql import MYSQL_SERVERS, MySQL
from tests.support.postgres import Postgres
from tests.support.tls import Authority
from worker.doctor.asking.server import server_facts
from worker.stores.database import parse
from worker.webhooks.store import StoreUnavailable

PASSWORD = "s3cret-of-tls"
HBA = """hostssl all scram_user 127.0.0.1/32 scram-sha-256
hostssl all cert_user 127.0.0.1/32 cert
hostssl all trusted_user 127.0.0.1/32 trust
host all scram_user,cert_user,trusted_user 127.0.0.1/32 reject
"""


class Served(NamedTuple):
    """A database over TLS. `uri` lacks user and options; `others` is the CA of somebody else."""

    uri: str
    ca: Path
    others: Path
    certificate: Path
    key: Path

    def read(self, user: str, options: str) -> None:
        """Connects and asks the server's clock. Raises StoreUnavailable."""
        files = {"CA": self.ca, "OTHERS": self.others, "CERT": self.certificate, "KEY": self.key}
        for name, path in files.items():
            options = options.replace(f"={name}", f"={path}")
        assert server_facts(parse(self.uri.replace("worker:secret", f"{user}:{PASSWORD}") + options)) is not None


def certificates(folder: Path, owner: str | None) -> tuple[Authority, Path, Path, Path]:
    """In a server's folder: its authority's certificate, its own, its key."""
    authority = Authority()
    certificate, key = authority.write_server(folder, owner=owner)
    ca = authority.write_certificate(folder / "ca.pem")
    ca.chmod(0o644)
    return authority, ca, certificate, key


def served(uri: str, authority: Authority, ca: Path, folder: Path) -> Served:
    return Served(
        uri, ca, Authority().write_certificate(folder / "others.pem"), *authority.write_client(folder, "cert_user")
    )


@pytest.fixture(scope="module")
def postgresql(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The shared server, for the time of these tests with TLS and three users."""
    authority, ca, certificate, key = certificates(postgres.folder, postgres.run_as)
    hba = postgres.folder / "data" / "pg_hba.conf"
    before, uri = hba.read_text(), postgres.create_database(f"tls_{uuid4().hex}")
    hba.write_text(HBA + before)
    settings = {"ssl_cert_file": certificate, "ssl_key_file": key, "ssl_ca_file": ca, "ssl": "on"}
    for name, value in settings.items():
        postgres.execute("postgres", f"ALTER SYSTEM SET {name} = '{value}'")
    postgres.execute(
        "postgres", f"SET password_encryption = 'scram-sha-256'; CREATE ROLE scram_user LOGIN PASSWORD '{PASSWORD}'"
    )
    postgres.execute("postgres", "CREATE ROLE cert_user LOGIN; CREATE ROLE trusted_user LOGIN; SELECT pg_reload_conf()")
    yield served(uri, authority, ca, tmp_path_factory.mktemp("clients"))
    hba.write_text(before)
    for name in settings:
        postgres.execute("postgres", f"ALTER SYSTEM RESET {name}")
    postgres.execute("postgres", "DROP ROLE scram_user, cert_user, trusted_user; SELECT pg_reload_conf()")


@pytest.mark.parametrize(
    ("user", "options"),
    [
        ("scram_user", "?sslmode=require&channel_binding=require"),  # Neon
        ("scram_user", "?sslmode=verify-full&sslrootcert=CA&channel_binding=require"),
        ("scram_user", "?sslmode=require&sslaccept=accept_invalid_certs"),
        ("scram_user", "?ssl=true&require_auth=scram-sha-256&ssl_min_protocol_version=TLSv1.3"),
        ("scram_user", "?sslmode=require&channel_binding=require&pgbouncer=true"),
        ("scram_user", ""),
        ("cert_user", "?sslmode=verify-ca&sslrootcert=CA&sslcert=CERT&sslkey=KEY"),
    ],
)
def test_postgresql_is_reached(postgresql: Served, user: str, options: str) -> None:
    postgresql.read(user, options)


@pytest.mark.parametrize(
    ("user", "options", "why"),
    [
        ("scram_user", "?sslmode=disable", "no encryption"),
        ("scram_user", "?sslmode=verify-full&sslrootcert=OTHERS", "certificate verify failed"),
        ("trusted_user", "?sslmode=require&channel_binding=require", "channel binding required"),
        ("trusted_user", "?sslmode=require&require_auth=scram-sha-256", "did not complete authentication"),
        ("cert_user", "?sslmode=require", "client certificate"),
    ],
)
def test_postgresql_is_not_reached_otherwise_than_asked_for(
    postgresql: Served, user: str, options: str, why: str
) -> None:
    with pytest.raises(StoreUnavailable, match=r"^DATABASE_CONNECTION_URI postgresql://127\.0\.0\.1") as caught:
        postgresql.read(user, options)
    assert why in str(caught.value)
    assert PASSWORD not in str(caught.value)


class _OverTls(MariaDB):
    """Offers TLS, to one user only to those who show a certificate."""

    def prepare(self) -> None:
        super().prepare()
        self.authority, self.ca, self.certificate, self.key = certificates(self.folder, self.run_as)
        users = {"tls_user": "REQUIRE SSL", "cert_user": "REQUIRE X509", "any_user": ""}
        with (self.folder / "grants.sql").open("a") as grants:
            for user, needs in users.items():
                grants.write(f"CREATE USER IF NOT EXISTS '{user}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}' {needs};\n")
                grants.write(f"GRANT ALL ON *.* TO '{user}'@'127.0.0.1';\n")

    def command(self) -> list[str]:
        tls = {"cert": self.certificate, "key": self.key, "ca": self.ca}
        return [*super().command(), *(f"--ssl-{name}={path}" for name, path in tls.items())]


class _MariaDBOverTls(_OverTls):
    pass


class _MySQLOverTls(_OverTls, MySQL):
    pass


@pytest.fixture(scope="module", params=MYSQL_SERVERS)
def mysqls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with (_MySQLOverTls if request.param == "mysql" else _MariaDBOverTls)() as server:
        uri = server.create_database(f"tls_{uuid4().hex}")
        yield served(uri, server.authority, server.ca, tmp_path_factory.mktemp("clients"))


@pytest.mark.parametrize(
    ("user", "options"),
    [
        ("tls_user", ""),
        ("tls_user", "?ssl-mode=REQUIRED"),
        ("tls_user", "?sslaccept=accept_invalid_certs"),
        ("tls_user", '?ssl={"rejectUnauthorized":false}'),
        ("tls_user", "?ssl-mode=VERIFY_CA&ssl-ca=CA"),
        ("tls_user", "?ssl-mode=VERIFY_IDENTITY&ssl_ca=CA"),
        ("tls_user", "?sslcert=CA&sslaccept=strict"),
        ("cert_user", "?ssl-ca=CA&ssl-cert=CERT&ssl-key=KEY"),
        ("any_user", "?ssl-mode=DISABLED"),
    ],
)
def test_mysql_is_reached(mysqls: Served, user: str, options: str) -> None:
    mysqls.read(user, options)


@pytest.mark.parametrize(
    ("user", "options", "why"),
    [
        ("tls_user", "?ssl-mode=DISABLED", "Access denied"),
        ("tls_user", "?ssl-mode=VERIFY_CA&ssl-ca=OTHERS", "certificate verify failed"),
        ("tls_user", "?ssl-mode=VERIFY_IDENTITY", "certificate verify failed"),
        ("tls_user", '?ssl={"rejectUnauthorized":true}', "certificate verify failed"),
        ("cert_user", "?ssl-mode=REQUIRED", "Access denied"),
    ],
)
def test_mysql_is_not_reached_otherwise_than_asked_for(mysqls: Served, user: str, options: str, why: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"^DATABASE_CONNECTION_URI mysql://127\.0\.0\.1") as caught:
        mysqls.read(user, options)
    assert why in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_mysql_that_offers_no_tls_is_refused_where_it_was_asked_for(mariadb: MariaDB) -> None:
    if "YES" in _ssl(mariadb):  # MariaDB 11.4 and later make a certificate by themselves
        server_facts(parse(f"{mariadb.uri('mysql')}?ssl-mode=REQUIRED"))
        return
    with pytest.raises(StoreUnavailable, match=r"does not support SSL|SSL"):
        server_facts(parse(f"{mariadb.uri('mysql')}?ssl-mode=REQUIRED"))


def _ssl(mariadb: MariaDB) -> str:
    connection = mariadb._connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@have_ssl")
            return str(cursor.fetchone())
    finally:
        connection.close()

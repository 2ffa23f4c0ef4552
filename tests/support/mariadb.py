"""A real MariaDB for the tests (the MySQL protocol and dialect)."""

from __future__ import annotations

import pymysql

from tests.support.server import Server

GRANTS = """CREATE USER IF NOT EXISTS 'worker'@'127.0.0.1' IDENTIFIED BY 'secret';
GRANT ALL ON *.* TO 'worker'@'127.0.0.1' WITH GRANT OPTION;
"""


class MariaDB(Server):
    """One server; `create_database` gives each test one of its own. User and password: worker, secret."""

    user = "mysql"  # it refuses to run as root

    def prepare(self) -> None:
        self.run(
            "/usr/bin/mariadb-install-db",
            "--no-defaults",
            f"--datadir={self.folder}/data",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
            "--skip-name-resolve",
        )
        (self.folder / "grants.sql").write_text(GRANTS)

    def command(self) -> list[str]:
        return [
            "/usr/sbin/mariadbd",
            "--no-defaults",
            f"--datadir={self.folder}/data",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.folder}/socket",
            f"--init-file={self.folder}/grants.sql",
            f"--pid-file={self.folder}/pid",
            "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=32M",
            "--character-set-server=utf8mb4",
        ]

    def ready(self) -> bool:
        try:
            self._connect().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def uri(self, database: str) -> str:
        return f"mysql://worker:secret@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Its URI. Case-insensitive collation, as Evolution's MySQL databases have."""
        self.execute(None, f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
        return self.uri(name)

    def execute(self, database: str | None, *statements: str) -> None:
        """Each statement is committed on its own."""
        connection = self._connect(database)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()

    def _connect(self, database: str | None = None) -> pymysql.Connection:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="worker",
            password="secret",
            database=database,
            autocommit=True,
            connect_timeout=2,
        )

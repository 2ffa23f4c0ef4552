"""A real MySQL for the tests, where there is one: Debian's package conflicts with MariaDB's."""

from __future__ import annotations

from pathlib import Path

from tests.support.mariadb import GRANTS, MariaDB

_ROOTS = (Path("/opt/mysql/usr"), Path("/usr"))
"""Where the package may be unpacked beside MariaDB's, and where it is installed."""


def _root() -> Path | None:
    # MariaDB's packages have a /usr/sbin/mysqld too, a link to their own program.
    programs = ((root, root / "sbin/mysqld") for root in _ROOTS)
    return next((root for root, mysqld in programs if mysqld.is_file() and mysqld.resolve().name == "mysqld"), None)


class MySQL(MariaDB):
    """To its clients the same as MariaDB; user and password: worker, secret."""

    @staticmethod
    def found() -> bool:
        """Whether this machine has the program."""
        return _root() is not None

    def prepare(self) -> None:
        self.run(*self._program(), "--initialize-insecure")
        (self.folder / "grants.sql").write_text(GRANTS)

    def command(self) -> list[str]:
        return [
            *self._program(),
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.folder}/socket",
            f"--init-file={self.folder}/grants.sql",
            f"--pid-file={self.folder}/pid",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--mysqlx=OFF",
            "--secure-file-priv=NULL",  # else a folder that the package would have made
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=32M",
            "--character-set-server=utf8mb4",
        ]

    def _program(self) -> list[str]:
        root = _root()
        assert root is not None, "there is no MySQL here: ask `found()` first"
        return [
            str(root / "sbin/mysqld"),
            "--no-defaults",
            f"--basedir={root}",
            f"--lc-messages-dir={root}/share/mysql",
            f"--datadir={self.folder}/data",
        ]


MYSQL_SERVERS = ("mariadb", *(["mysql"] if MySQL.found() else []))
"""The fixtures of the servers of this machine that speak MySQL's protocol and dialect."""

DATABASE_SERVERS = ("postgres", *MYSQL_SERVERS)
"""The fixtures of all database servers of this machine."""

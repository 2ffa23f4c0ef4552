"""A real PostgreSQL for the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.support.server import Server


def _program(name: str) -> Path:
    """Debian keeps the servers of each version apart; the newest is used."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return found[-1] if found else Path(shutil.which(name) or name)


class Postgres(Server):
    """One server; `create_database` gives each test one of its own. User and password: worker, secret."""

    user = "postgres"  # it refuses to run as root
    stop_signal = signal.SIGINT  # "fast": it does not wait for its clients to leave

    def prepare(self) -> None:
        self.run(
            _program("initdb"),
            "--pgdata",
            self.folder / "data",
            "--username=worker",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        )

    def command(self) -> list[str]:
        # Nobody needs this data after a power cut, so no fsync.
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(_program("postgres")), "-D", f"{self.folder}/data", "-p", str(self.port), *options]

    def ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            psycopg.connect(self.uri("postgres"), connect_timeout=2).close()
        except (OSError, psycopg.OperationalError):
            return False
        return True

    def kill(self) -> None:
        children = self._children()
        super().kill()
        # They would leave by themselves, but until then a new start finds their shared memory in use.
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def _children(self) -> list[int]:
        if self._process is None or self._process.poll() is not None:
            return []
        pid = self._process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def uri(self, database: str) -> str:
        return f"postgresql://worker:secret@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Its URI."""
        self.execute("postgres", f'CREATE DATABASE "{name}"')
        return self.uri(name)

    def execute(self, database: str, statement: str) -> None:
        """One statement or several, each committed on its own."""
        with psycopg.connect(self.uri(database), autocommit=True) as connection:
            connection.execute(statement.encode())

"""How an SQLite file is made and opened, without SQLAlchemy."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

BUSY_SECONDS = 5.0
"""How long a statement waits for another process's write."""

_AGAIN_SECONDS = 0.01

_PRIMARY_CODE = 0xFF
"""An extended code (https://sqlite.org/rescode.html) has its primary one in the lowest byte."""


def create_file(path: Path) -> None:
    """Its owner's alone, since it holds header values and secrets; SQLite gives the -wal and -shm files its mode. One
    that is there, or cannot be made, is left: connecting says what is wrong."""
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Opens the file in autocommit mode. Only a migration creates it: a vanished file is no empty store."""
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def keep_a_log(connection: sqlite3.Connection) -> None:
    """Readers wait for no writer from now on, in every process: the file itself keeps the mode (WAL).

    Two that change it at the same moment would deadlock, so SQLite refuses one of them at once, whatever its timeout:
    asked again, it finds the mode changed. Raises sqlite3.OperationalError after BUSY_SECONDS, or twice that where the
    last of them waits as well.
    """
    again = Retrying(
        retry=retry_if_exception(_is_busy),
        stop=stop_after_delay(BUSY_SECONDS),
        wait=wait_fixed(_AGAIN_SECONDS),
        reraise=True,
    )
    again(connection.execute, "PRAGMA journal_mode = WAL")


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY

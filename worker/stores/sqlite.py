"""How an SQLite file is opened, with the standard library only."""

import sqlite3
import time
from pathlib import Path

BUSY_SECONDS = 5.0
"""How long a statement waits for another process's write."""


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
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return


_AGAIN_SECONDS = 0.01
_PRIMARY_CODE = 0xFF
"""An extended code (https://sqlite.org/rescode.html) has its primary one in the lowest byte."""

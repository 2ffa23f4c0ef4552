"""How an SQLite file is opened, with the standard library only."""

import sqlite3
from pathlib import Path

BUSY_SECONDS = 5.0
"""How long a statement waits for another process's write."""


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Opens the file in autocommit mode. Only a migration creates it: a vanished file is no empty store."""
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)

"""The history's time is its database's: a worker whose clock is wrong drops nothing too soon. Imports SQLAlchemy."""

import time
from collections.abc import Callable

from sqlalchemy import Engine, text

_NOW = {
    "postgresql": "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
    "mysql": "SELECT UNIX_TIMESTAMP() * 1000",  # whole seconds: of a local time with fractions the hour may be unclear
}


def local() -> float:
    """Of the machine that SQLite's file is on, too."""
    return time.time()


class DatabaseClock:
    """Unix milliseconds. `given` stands for both clocks, in tests."""

    def __init__(self, engine: Engine, given: Callable[[], int] | None = None) -> None:
        self._engine = engine
        self._given = given
        self._ahead = 0

    def __call__(self) -> int:
        return self._local() + self._ahead

    def measure(self) -> None:
        """Asks the database how far it is ahead of this process. Raises SQLAlchemy's errors."""
        statement = _NOW.get(self._engine.dialect.name)
        if statement is not None and self._given is None:
            with self._engine.connect() as connection:
                self._ahead = int(connection.execute(text(statement)).scalar_one()) - self._local()

    def _local(self) -> int:
        return int(local() * 1000) if self._given is None else self._given()

"""The stores that the conformance suite runs on: each test has a database of its own."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.mysql import DATABASE_SERVERS
from worker.stores.own.store import SqlStore

NewStore = Callable[[], SqlStore]
"""Another store on the same database, as another process would open it; closed by the fixture."""


class Clock:
    """Unix milliseconds that move by one a reading."""

    def __init__(self) -> None:
        self.now = 1_795_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture(params=("sqlite", *DATABASE_SERVERS))
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of its own for the test."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/webhooks.db"
    return str(request.getfixturevalue(request.param).create_database(f"test_{uuid4().hex}"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def new_store(uri: str, clock: Clock) -> AsyncIterator[NewStore]:
    made: list[SqlStore] = []

    def new() -> SqlStore:
        made.append(SqlStore(uri, clock))
        return made[-1]

    yield new
    for store in made:
        await store.close()


@pytest.fixture
async def store(new_store: NewStore) -> SqlStore:
    """A migrated, empty store."""
    found = new_store()
    await found.migrate()
    return found

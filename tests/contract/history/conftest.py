"""The history on each database: every test has it empty and prepared."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import delete, text

from tests.history.fakes import row
from tests.support.mysql import DATABASE_SERVERS
from worker.domain.history import Batch, Row
from worker.history.store import HistoryStore
from worker.stores.database import parse
from worker.stores.engine import engine_of
from worker.stores.history.schema import (
    BATCHES,
    JOBS,
    LASTS,
    LISTENING,
    MINUTES,
    PRODUCERS,
    TOTALS,
    TROUBLES,
    history_of,
)
from worker.stores.history.store import history_store

KEEP_DAYS = 7
DAY = 86_400_000
NOON = 1_795_867_200_000
"""2026-11-28, 12:00 UTC, in Unix milliseconds."""


class Clock:
    """Unix milliseconds, moved by the test."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


NewHistory = Callable[[], HistoryStore]
"""Another store on the same database, as another process would open it; closed by the fixture."""


@pytest.fixture
def own_database() -> None:
    """Asked for by a test that changes more than rows: it gets a new, empty database."""


@pytest.fixture(scope="session")
def databases() -> dict[str, str]:
    """The URI of the database of each kind that the tests use in turns: making one takes half a second."""
    return {}


@pytest.fixture(params=("sqlite", *DATABASE_SERVERS))
def uri(request: pytest.FixtureRequest, databases: dict[str, str], tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.db"
    server = request.getfixturevalue(request.param)
    if "own_database" in request.fixturenames or request.param not in databases:
        made = str(server.create_database(f"history_{uuid4().hex}"))
        return made if "own_database" in request.fixturenames else databases.setdefault(request.param, made)
    _clear(databases[request.param])
    return databases[request.param]


def _clear(uri: str) -> None:
    engine = engine_of(parse(uri))
    with engine.begin() as connection:
        for table in (
            history_of(engine.dialect.name),
            BATCHES,
            PRODUCERS,
            TROUBLES,
            JOBS,
            LISTENING,
            MINUTES,
            LASTS,
            TOTALS,
        ):
            connection.execute(delete(table))
        if engine.dialect.name == "postgresql":
            found = "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
            for partition in connection.execute(text(f"{found} WHERE c.relkind = 'r'")).scalars().all():
                connection.execute(text(f"DROP TABLE {partition}"))
    engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def new_history(uri: str, clock: Clock) -> AsyncIterator[NewHistory]:
    made: list[HistoryStore] = []

    def new() -> HistoryStore:
        made.append(history_store(uri, KEEP_DAYS, clock))
        return made[-1]

    yield new
    for store in made:
        await store.close()


@pytest.fixture
async def history(new_history: NewHistory) -> HistoryStore:
    store = new_history()
    await store.prepare()
    return store


DELIVERED = row(NOON, event_id="evt_1", chat="5511999999999@s.whatsapp.net", host="h.example:443")
FAILED = DELIVERED._replace(
    outcome="Retried",
    reason="5xx",
    status=503,
    error="answered 503",
    answer="\U0001f525 down for maintenance, até já",
    content_type="text/plain; charset=utf-8",
)


def batch(*rows: Row, number: int = 0, producer: str = "one") -> Batch:
    return Batch(producer, number, "replica-1", rows)

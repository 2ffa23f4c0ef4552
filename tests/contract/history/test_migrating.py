"""A history that an older worker made gets the tables it lacks, on every database, and keeps its rows."""

from __future__ import annotations

from typing import cast

import pytest
from sqlalchemy import text

from tests.contract.history.conftest import DELIVERED, NOON, NewHistory, batch
from worker.history.store import Question, Span
from worker.replay.jobs import Asked, Job
from worker.stores.database import parse
from worker.stores.engine import engine_of
from worker.stores.history.migrations import MIGRATIONS
from worker.stores.history.schema import JOBS, LASTS, LISTENING, MINUTES, OF_UNUSUAL, TOTALS, TROUBLES, VERSIONS
from worker.stores.history.store import Store

MADE_BY = {
    2: [TROUBLES.name],
    3: [JOBS.name],
    4: [LISTENING.name],
    5: [MINUTES.name, LASTS.name],
    6: [],
    7: [TOTALS.name],
    8: [],
}
"""Version -> the tables that came with it."""
JOBS_SINCE = 3


@pytest.mark.usefixtures("own_database")
async def test_each_older_version_gets_what_it_lacks_and_keeps_its_rows(new_history: NewHistory, uri: str) -> None:
    assert max(MADE_BY) == len(MIGRATIONS.steps), "a new step needs a row here"
    first = cast(Store, new_history())
    await first.prepare()
    await first.write([batch(DELIVERED)])
    await first.add_job(Job("replay_1", Asked("acme", "default", NOON - 1000, NOON), NOON))
    for version in (5, 4, 3, 2, 1):
        _back_to(version, uri)
        assert not _only_the_unusual(uri)
        store = cast(Store, new_history())
        await store.prepare()
        assert _only_the_unusual(uri) or uri.startswith(("mysql", "mariadb"))
        assert [kept.row.id for kept in (await store.page(Question(None), None, 10)).items] == [DELIVERED.id]
        assert (await store.health("acme", NOON))["default"].last_success == NOON
        assert (await store.last_hour(None, NOON, (), 1)).attempts == Span(1, 1)
        assert [job.id for job in await store.jobs(None, 10)] == (["replay_1"] if version >= JOBS_SINCE else [])


def _back_to(version: int, uri: str) -> None:
    engine = engine_of(parse(uri))
    with engine.begin() as connection:
        for table in (name for made_by, names in MADE_BY.items() if made_by > version for name in names):
            connection.execute(text(f"DROP TABLE {table}"))
        if engine.dialect.name != "mysql":
            connection.execute(text(f"DROP INDEX {OF_UNUSUAL}"))  # of version 8: it fails if that was not made
            connection.execute(text("DROP INDEX webhook_history_outcome"))
            connection.execute(text("CREATE INDEX webhook_history_outcome ON webhook_history (outcome, at)"))
        connection.execute(text(f"UPDATE {VERSIONS.name} SET version = {version}"))
    engine.dispose()


def _only_the_unusual(uri: str) -> bool:
    """Whether the index of outcomes leaves out what was delivered (version 6). MySQL has no such index."""
    asked = {
        "sqlite": "SELECT sql FROM sqlite_master WHERE name = 'webhook_history_outcome'",
        "postgresql": "SELECT indexdef FROM pg_indexes WHERE indexname = 'webhook_history_outcome'",
    }
    engine = engine_of(parse(uri))
    with engine.connect() as connection:
        statement = asked.get(engine.dialect.name)
        found = "" if statement is None else str(connection.execute(text(statement)).scalar_one())
    engine.dispose()
    return " WHERE " in found

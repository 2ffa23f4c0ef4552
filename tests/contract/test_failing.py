"""What a row remembers of a receiver that fails for long, on every database."""

from dataclasses import replace
from uuid import uuid4

import pytest
import sqlalchemy

from tests.contract.conftest import NewStore
from tests.support.postgres import Postgres
from worker.domain.webhook import Webhook
from worker.stores.database import parse
from worker.stores.engine import engine_of
from worker.stores.own.migrations import migrate
from worker.stores.own.steps import SCHEMA_VERSION, STEPS, AddColumn
from worker.webhooks.store import WritableStore

ACME = Webhook("acme", "https://h.example/x")
ADDED = [
    ("webhook_revisions" if step.of_revisions else "webhooks", step.name)
    for step in STEPS
    if isinstance(step, AddColumn)
]
"""Table and name of each column that version 1 did not have, in the order in which they came."""


async def since(store: WritableStore) -> int | None:
    (webhook,) = await store.load("acme")
    return webhook.failing_since


async def test_the_earliest_start_stays_until_it_recovers(store: WritableStore) -> None:
    await store.put(ACME)
    assert await since(store) is None
    assert await store.failing(ACME, 2000) == 2000
    assert await store.failing(ACME, 3000) == 2000
    assert await store.failing(ACME, 1000) == 1000
    assert await since(store) == 1000
    assert await store.failing(ACME, None) is None
    assert await store.failing(ACME, None) is None
    assert await since(store) is None


async def test_it_raises_no_revision_and_changes_nothing_else(store: WritableStore) -> None:
    await store.put(ACME)
    before = await store.get("acme")
    await store.failing(ACME, 1000)
    assert await store.get("acme") == before
    assert (await store.put(ACME)).revision == 2


async def test_a_webhook_that_is_set_anew_begins_anew(store: WritableStore) -> None:
    await store.put(ACME)
    await store.failing(ACME, 1000)
    await store.put(ACME)
    assert await since(store) is None


async def test_one_that_changed_meanwhile_or_is_gone_is_left_alone(store: WritableStore) -> None:
    assert await store.failing(ACME, 1000) is None
    await store.put(replace(ACME, url="https://new.example/"))
    assert await store.failing(ACME, 1000) is None
    assert await since(store) is None


async def test_only_one_that_still_fails_is_disabled_for_failing(store: WritableStore) -> None:
    await store.put(ACME)
    assert await store.disable(ACME, "failed", if_failing=True) is None
    await store.failing(ACME, 1000)
    assert await store.disable(replace(ACME, failing_since=1), "failed", if_failing=True) == 2
    (webhook,) = await store.load("acme")
    assert (webhook.enabled, webhook.disabled_reason) == (False, "failed")


@pytest.mark.parametrize("crashed", [False, True], ids=["plain", "after a crash in its middle"])
async def test_a_table_of_version_1_gets_the_column_and_keeps_its_rows(
    store: WritableStore, new_store: NewStore, uri: str, crashed: bool
) -> None:
    await store.put(ACME)
    engine = engine_of(parse(uri))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE webhook_schema SET version = 1"))
        if not crashed:
            for table, column in ADDED:
                quoted = engine.dialect.identifier_preparer.quote(column)  # `ignore` is a word of MariaDB's
                connection.execute(sqlalchemy.text(f"ALTER TABLE {table} DROP COLUMN {quoted}"))
    engine.dispose()
    other = new_store()
    assert await other.migrate() == SCHEMA_VERSION
    assert await other.failing(ACME, 1000) == 1000
    assert await other.load("acme") == (ACME,)


async def test_a_table_of_the_version_before_gets_the_last_column_and_keeps_the_others(
    store: WritableStore, new_store: NewStore, uri: str
) -> None:
    chosen = replace(
        ACME, ignore=frozenset({"groups"}), alert_url="https://owner.example/", ttl_seconds=(("CALL", 60.0),)
    )
    await store.put(chosen)
    engine = engine_of(parse(uri))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"UPDATE webhook_schema SET version = {SCHEMA_VERSION - 1}"))
        connection.execute(sqlalchemy.text("ALTER TABLE {} DROP COLUMN {}".format(*ADDED[-1])))
    engine.dispose()
    other = new_store()
    assert await other.migrate() == SCHEMA_VERSION
    assert await other.load("acme") == (chosen,)


def test_in_a_schema_of_its_own_too(postgres: Postgres) -> None:
    uri = postgres.create_database(f"test_{uuid4().hex}")
    engine = engine_of(parse(f"{uri}?schema=Evolution%20API"))
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text('ALTER TABLE "Evolution API".webhooks DROP COLUMN failing_since'))
        connection.execute(sqlalchemy.text('UPDATE "Evolution API".webhook_schema SET version = 1'))
    assert migrate(engine) == SCHEMA_VERSION
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text('SELECT failing_since FROM "Evolution API".webhooks'))
    engine.dispose()

"""What writers and databases suffer: killed in the middle, cut off, behind a pooler, in the hands of a newer worker."""

import asyncio
import signal
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy

from tests.contract.history.conftest import DELIVERED, FAILED, KEEP_DAYS, NOON, Clock, NewHistory, batch
from tests.support.postgres import Postgres
from worker.history.store import HistoryStore, Question
from worker.stores.database import parse
from worker.stores.engine import engine_of
from worker.stores.history import partitioned
from worker.stores.history.store import history_store
from worker.webhooks.store import RightsLacking, StoreUnavailable

ROWS = 700
INCREMENTAL = 2  # https://sqlite.org/pragma.html#pragma_auto_vacuum
KILLED_BEFORE_COMMIT = f"""
import asyncio, os, signal, sys
from sqlalchemy import Engine, event
from tests.contract.history.conftest import DELIVERED, KEEP_DAYS, NOON, batch
from worker.stores.history import partitioned
from worker.stores.history.store import history_store

event.listen(Engine, "commit", lambda connection: os.kill(os.getpid(), signal.SIGKILL))
rows = [DELIVERED._replace(attempt=number) for number in range({ROWS})]
asyncio.run(history_store(sys.argv[1], KEEP_DAYS, lambda: NOON).write([batch(*rows)]))
"""


async def test_a_writer_that_is_killed_before_its_commit_has_written_nothing(history: HistoryStore, uri: str) -> None:
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED_BEFORE_COMMIT, uri)
    assert await killed.wait() == -signal.SIGKILL
    assert (await history.page(Question(None), None, 500)).items == ()
    rows = [DELIVERED._replace(attempt=number) for number in range(ROWS)]
    assert await history.write([batch(*rows)]) == ROWS
    first = await history.page(Question(None), None, 500)
    second = await history.page(Question(None), first.following, 500)
    assert {kept.row for kept in (*first.items, *second.items)} == set(rows)


@pytest.mark.usefixtures("own_database")
async def test_ten_stores_may_prepare_at_once_and_again(new_history: NewHistory) -> None:
    stores = [new_history() for _ in range(10)]
    await asyncio.gather(*(store.prepare() for store in stores))
    assert await stores[0].write([batch(DELIVERED)]) == 1
    await stores[1].prepare()
    assert len((await stores[2].page(Question(None), None, 1)).items) == 1


@pytest.mark.usefixtures("own_database")
async def test_tables_of_a_newer_worker_are_left_alone(history: HistoryStore, uri: str) -> None:
    engine = engine_of(parse(uri))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE webhook_history_schema SET version = 999"))
    engine.dispose()
    with pytest.raises(StoreUnavailable, match="version 999, made by a newer worker"):
        await history.prepare()


@pytest.mark.parametrize("options", ["?schema=Evolution%20API", "?pgbouncer=true", "?schema=evolution&pgbouncer=true"])
async def test_a_schema_of_the_uri_and_a_pooler_without_sessions(postgres: Postgres, options: str) -> None:
    history = history_store(postgres.create_database(f"history_{uuid4().hex}") + options, KEEP_DAYS, Clock())
    try:
        await history.prepare()
        long_ago = FAILED._replace(at=NOON - 5 * 86_400_000)
        assert await history.write([batch(DELIVERED, long_ago)]) == 2
        assert [kept.row for kept in (await history.page(Question(None), None, 5)).items] == [DELIVERED, long_ago]
        assert (await history.tidy(NOON + 9 * 86_400_000)).expired == 3  # both days, and one that was made ahead
        assert (await history.page(Question(None), None, 5)).items == ()
    finally:
        await history.close()


async def test_lost_connections_cost_a_repeat_and_no_row(postgres: Postgres) -> None:
    name = f"history_{uuid4().hex}"
    history = history_store(postgres.create_database(name), KEEP_DAYS, Clock())
    end_all = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    try:
        await history.prepare()
        await history.write([batch(DELIVERED)])
        await asyncio.to_thread(postgres.execute, "postgres", end_all)
        assert await history.write([batch(DELIVERED), batch(FAILED, number=1)]) == 1
        blocked = asyncio.ensure_future(blocked_write(postgres, name, history))
        with pytest.raises(StoreUnavailable):
            await blocked
        assert await history.write([batch(DELIVERED, number=2)]) == 1
        assert len((await history.page(Question(None), None, 10)).items) == 3
    finally:
        await history.close()


async def blocked_write(postgres: Postgres, name: str, history: HistoryStore) -> None:
    """A write that waits for the table's lock when the server ends its connection: in the middle of its COPY."""
    with (
        psycopg.connect(postgres.uri(name)) as holder,
        psycopg.connect(postgres.uri("postgres"), autocommit=True) as other,
    ):
        holder.execute("LOCK TABLE webhook_history IN EXCLUSIVE MODE")
        write = asyncio.ensure_future(history.write([batch(DELIVERED, number=2)]))
        ending = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = %s AND wait_event_type = 'Lock' AND query LIKE 'COPY%%'"
        )
        while not (await asyncio.to_thread(lambda: other.execute(ending, (name,)).fetchall())):
            assert not write.done()
        await write


async def test_a_partition_is_not_dropped_while_it_is_read(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitioned, "LOCK_MS", 100)
    name, clock = f"history_{uuid4().hex}", Clock()
    history = history_store(postgres.create_database(name), KEEP_DAYS, clock)
    try:
        await history.prepare()
        await history.write([batch(DELIVERED)])
        later = NOON + 9 * 86_400_000
        with psycopg.connect(postgres.uri(name)) as reader:
            reader.execute("SELECT * FROM webhook_history_20261128").fetchall()
            assert (await history.tidy(later)).expired == 1  # the day after, which nobody reads
        assert (await history.tidy(later)).expired == 1
    finally:
        await history.close()


async def test_missing_rights_are_named(postgres: Postgres) -> None:
    name, role = f"history_{uuid4().hex}", f"role_{uuid4().hex}"
    uri = postgres.create_database(name)
    postgres.execute(name, f"CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    history = history_store(uri.replace("worker:secret", f"{role}:hunter2"), KEEP_DAYS, Clock())
    try:
        with pytest.raises(RightsLacking, match=r"lacks the rights to .*`webhook_history\*`") as caught:
            await history.prepare()
        assert "hunter2" not in str(caught.value)
    finally:
        await history.close()


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
async def test_a_server_that_is_not_there_is_an_outage(scheme: str) -> None:
    history = history_store(f"{scheme}://worker:hunter2@127.0.0.1:1/history", KEEP_DAYS, Clock())
    try:
        for call in (
            history.prepare(),
            history.write([batch(DELIVERED)]),
            history.tidy(NOON),
            history.page(Question(None), None, 1),
            history.timeline("msg_1", None),
            history.health("acme", NOON),
        ):
            with pytest.raises(StoreUnavailable) as caught:
                await call
            assert "hunter2" not in str(caught.value)
    finally:
        await history.close()


async def test_sqlites_file_is_its_owners_alone_and_gives_room_back(tmp_path: Path) -> None:
    path, clock = tmp_path / "history.db", Clock()
    history = history_store(f"sqlite:///{path}", KEEP_DAYS, clock)
    try:
        await history.prepare()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            await history.write([batch(*[FAILED._replace(answer="x" * 2000)] * 2000)])
            (before,) = connection.execute("PRAGMA page_count").fetchone()
            clock.now += (KEEP_DAYS + 1) * 86_400_000
            assert (await history.tidy(clock.now)).expired == 2000
            (after,) = connection.execute("PRAGMA page_count").fetchone()
        assert after < before / 4
    finally:
        await history.close()


async def test_sqlites_file_gives_room_back_whichever_of_ten_made_it(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / f"{number}.db"
        stores = [history_store(f"sqlite:///{path}", KEEP_DAYS, Clock()) for _ in range(10)]
        try:
            await asyncio.gather(*(store.prepare() for store in stores))
        finally:
            await asyncio.gather(*(store.close() for store in stores))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA auto_vacuum").fetchone() == (INCREMENTAL,)


async def test_a_question_does_not_wait_for_another_processs_write(tmp_path: Path) -> None:
    history = history_store(f"sqlite:///{tmp_path}/history.db", KEEP_DAYS, Clock())
    try:
        await history.prepare()
        await history.write([batch(DELIVERED)])
        with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert len((await history.page(Question(None), None, 1)).items) == 1
            assert (await history.health("acme", NOON)).keys() == {"default"}
    finally:
        await history.close()


async def test_a_missing_folder_of_sqlites_file_is_named(tmp_path: Path) -> None:
    history = history_store(f"sqlite:///{tmp_path}/nowhere/history.db", KEEP_DAYS, Clock())
    with pytest.raises(StoreUnavailable, match="its folder must exist"):
        await history.prepare()
    await history.close()

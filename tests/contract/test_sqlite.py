"""What only a file can suffer: each failure names the setting and the remedy."""

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from tests.contract.conftest import Clock
from worker.domain.webhook import Webhook
from worker.stores import sqlite
from worker.stores.database import sqlite_problem
from worker.stores.own import store as sql
from worker.stores.own.store import SqlStore
from worker.webhooks.store import RowDamaged, StoreUnavailable

ACME = Webhook("acme", "https://h.example/x", headers=(("X-Key", "secret"),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "webhooks.db"


@pytest.fixture
async def store(path: Path):  # type: ignore[no-untyped-def]
    found = SqlStore(f"sqlite:///{path}", Clock())
    await found.migrate()
    await found.put(ACME)
    yield found
    await found.close()


def refuse(match: str):  # type: ignore[no-untyped-def]
    return pytest.raises(StoreUnavailable, match=f"DATABASE_CONNECTION_URI sqlite:///.*webhooks.db: .*{match}")


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


async def test_the_version_known_without_the_library_is_the_librarys(store: SqlStore, path: Path) -> None:
    assert await store.migrate() == sql.SCHEMA_VERSION
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version FROM webhook_schema").fetchone() == (sql.SCHEMA_VERSION,)


async def test_the_file_is_in_wal_mode(store: SqlStore, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_reader_does_not_wait_for_another_processs_write(store: SqlStore, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await store.load("acme") == (ACME,)


async def test_a_lock_that_stays_is_reported(store: SqlStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with refuse("is locked by another process"):
            await store.put(ACME)
        with refuse("is locked by another process"):
            await store.check()


async def test_a_missing_folder_is_reported_by_check_and_migrate(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/none/webhooks.db", Clock())
    with refuse("its folder must exist"):
        await store.check()
    with refuse("its folder must exist"):
        await store.migrate()
    await store.close()


async def test_check_makes_no_file(path: Path) -> None:
    store = SqlStore(f"sqlite:///{path}", Clock())
    await store.check()
    await store.close()
    assert not path.exists()


@pytest.mark.parametrize("content", [b"no database at all " * 60, b"SQLite format 3\0x"])
async def test_a_damaged_file_is_reported(path: Path, content: bytes) -> None:
    path.write_bytes(content * 3)
    store = SqlStore(f"sqlite:///{path}", Clock())
    for call in (store.load("acme"), store.check(), store.migrate(), store.put(ACME)):
        with refuse("is not an SQLite database|is damaged"):
            await call
    await store.close()


async def test_a_vanished_file_is_an_outage_and_not_an_empty_store(store: SqlStore, path: Path) -> None:
    for part in path.parent.glob("webhooks.db*"):
        part.unlink()
    with refuse("does not exist"):
        await store.load("acme")
    with refuse("cannot be opened"):
        await store.put(ACME)
    assert not path.exists()


async def test_a_restored_file_is_read_without_a_restart(store: SqlStore, path: Path, tmp_path: Path) -> None:
    other = SqlStore(f"sqlite:///{tmp_path}/backup.db", Clock())
    await other.migrate()
    await other.close()
    (tmp_path / "backup.db").replace(path)
    for part in path.parent.glob("webhooks.db-*"):
        part.unlink()
    assert await store.load("acme") == ()


async def test_a_newer_schema_is_refused(store: SqlStore, path: Path) -> None:
    change(path, "UPDATE webhook_schema SET version = 99")
    for call in (store.migrate(), store.check()):
        with refuse("version 99, made by a newer worker"):
            await call


@pytest.mark.parametrize(
    ("column", "value"),
    [("events", "'[1'"), ("events", "'{}'"), ("headers", '\'[["a"]]\''), ("secrets", "'[5]'"), ("url", "x'00'"),
     ("timeout_ms", "'soon'"), ("rate_limit", "'{}'")],
)  # fmt: skip
async def test_a_damaged_row_names_its_column_and_shows_no_value(
    store: SqlStore, path: Path, column: str, value: str
) -> None:
    change(path, f"UPDATE webhooks SET {column} = {value}")
    with pytest.raises(RowDamaged) as caught:
        await store.load("acme")
    assert f"column `{column}` of webhook 'default' of instance 'acme'" in str(caught.value)
    assert "secret" not in str(caught.value).replace("`secrets`", "")


async def test_nothing_is_opened_before_the_first_call(path: Path) -> None:
    store = SqlStore(f"sqlite:///{path}", Clock())
    assert not path.exists()
    await store.close()


async def test_loads_from_many_tasks_at_once(store: SqlStore) -> None:
    assert await asyncio.gather(*(store.load("acme") for _ in range(200))) == [(ACME,)] * 200


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("attempt to write a readonly database", "read-only"),
        ("database or disk is full", "free some space"),
        ("disk I/O error", "check disk space"),
        ("unable to open database file", "folder must exist and be writable"),
        ("something new", "failed: something new"),
    ],
)
def test_sqlites_messages_become_remedies(message: str, words: str) -> None:
    assert words in sqlite_problem(message)


def keep_a_log_together(path: Path, start: Barrier) -> None:
    """As one of several processes that start at the same moment."""
    with closing(sqlite.connect(path, create=True)) as connection:
        start.wait(10)
        sqlite.keep_a_log(connection)


def test_ten_that_open_a_new_file_at_once_all_keep_the_log(tmp_path: Path) -> None:
    """SQLite refuses one of two that change the mode in the same moment: in a quarter of these rounds."""
    with ThreadPoolExecutor(10) as threads:
        for number in range(40):
            path, start = tmp_path / f"{number}.db", Barrier(10)
            for opened in [threads.submit(keep_a_log_together, path, start) for _ in range(10)]:
                opened.result()
            with closing(sqlite3.connect(path)) as connection:
                assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_log_that_somebody_keeps_from_being_kept_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    change(path, "CREATE TABLE t (n)")
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with closing(sqlite.connect(path)) as connection:
            started = time.monotonic()
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                sqlite.keep_a_log(connection)
            assert time.monotonic() - started >= 0.2


def test_what_asking_again_cannot_help_is_told_at_once(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be read as the head of one" * 20)
    with closing(sqlite.connect(path)) as connection, pytest.raises(sqlite3.DatabaseError, match="not a database"):
        sqlite.keep_a_log(connection)

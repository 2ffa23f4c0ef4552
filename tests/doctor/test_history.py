"""The history's database, as check and doctor see it: reached, writable, and shared by all replicas."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.doctor.builders import queue, view
from worker.broker.topology import topology
from worker.doctor.history import finding, problem, shared, silent
from worker.domain.silence.pulse import Pulse
from worker.settings.settings import Settings, load
from worker.stores.database import parse
from worker.stores.history.store import history_store

TOPOLOGY = topology("webhooks", "evolution_exchange", (5,), history=True).whole
SQLITE = parse("sqlite:///history.db")


def settings(where: Path | str, **others: str) -> Settings:
    uri = str(where) if "://" in str(where) else f"sqlite:///{where}"
    return load({"HISTORY_DATABASE_URI": uri, **others}, None)[0]


async def test_a_file_that_can_be_made_or_written_is_fine_and_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    assert await problem(settings(file)) is None
    assert not file.exists()
    file.touch()
    assert await problem(settings(file)) is None


@pytest.mark.parametrize(("path", "told"), [("nowhere/history.db", "its folder must exist"), (".", "is a folder")])
async def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, path: str, told: str) -> None:
    found = settings(tmp_path / path)
    why = await problem(found)
    assert told in str(why)
    assert finding(why, found).level == "warning"


async def test_a_server_that_is_away_is_named_without_its_password(closed_port: int) -> None:
    why = str(await problem(settings(f"mysql://u:s3cret@127.0.0.1:{closed_port}/history")))
    assert f"127.0.0.1:{closed_port}/history" in why
    assert "s3cret" not in why


async def test_off_is_fine_whatever_the_address(tmp_path: Path) -> None:
    off = settings(tmp_path / "nowhere" / "history.db", HISTORY="off")
    assert await problem(off) is None
    assert finding(None, off).what == "HISTORY is off: nothing is kept"


def test_replicas_that_do_not_share_a_database_are_a_warning() -> None:
    retries = [queue("webhooks.retries", consumers=count) for count in range(3)]
    assert [shared(view(one), TOPOLOGY, SQLITE) is not None for one in retries] == [False, False, True]
    assert shared(view(retries[2]), TOPOLOGY, parse("postgresql://db/x")) is None
    assert shared(view(retries[2]), topology("webhooks", "x", ()), SQLITE) is None
    found = shared(view(retries[2]), TOPOLOGY, SQLITE)
    assert found is not None
    assert (found.level, "2 replicas" in found.what) == ("warning", True)


def test_the_historys_queue_is_looked_at_like_the_others() -> None:
    assert TOPOLOGY.history in TOPOLOGY.queues
    assert TOPOLOGY.whole is TOPOLOGY


async def test_instances_without_messages_are_named(tmp_path: Path) -> None:
    there, now = settings(tmp_path / "history.db"), int(time.time() * 1000)
    assert await silent(there) is None
    assert not (tmp_path / "history.db").exists()
    store = history_store(there.history_database_uri, 7, lambda: now)
    await store.prepare()
    quiet = range(now - 10 * 86_400_000, now - 8 * 3_600_000, 600_000)
    await store.hear([Pulse("acme", at, at) for at in quiet] + [Pulse("acme", None, now)])
    assert await store.judge(now) == 1
    await store.close()
    found = await silent(there)
    assert found is not None
    assert (found.level, found.items) == ("warning", ("acme",))
    assert found.what == "1 instance is connected and gets no messages: acme"
    assert await silent(settings(tmp_path / "history.db", HISTORY="off")) is None

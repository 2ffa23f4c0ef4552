"""WEBHOOK_SOURCE=file and evolution in the running worker, on the command line and in `check`."""

import asyncio
import time
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import StartWorker
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.evolution import Evolution
from tests.support.postgres import Postgres
from tests.support.receiver import Receiver
from tests.support.worker import Worker


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "webhooks.toml"


def point(file: Path, url: str) -> None:
    (file.parent / "new").write_text(f'[[webhook]]\ninstance = "acme"\nurl = "{url}"\n')
    (file.parent / "new").replace(file)


async def delivered_to(amqp: Amqp, names: Names, receiver: Receiver, path: str, seconds: float) -> None:
    """Publishes until an event arrives at this path, within so many seconds."""
    deadline = time.monotonic() + seconds
    while not receiver.at(path):
        assert time.monotonic() < deadline, f"nothing at {path} within {seconds} s"
        await amqp.publish_event(names.exchange, "messages.upsert", event(instance="acme"))
        await asyncio.sleep(0.05)


async def test_a_change_of_the_file_is_in_force_within_a_second(
    file: Path, worker: StartWorker, amqp: Amqp, names: Names, receiver: Receiver
) -> None:
    point(file, receiver.url("/one"))
    running = await worker(WEBHOOK_SOURCE="file", WEBHOOK_FILE=str(file))
    await delivered_to(amqp, names, receiver, "/one", 10)
    point(file, receiver.url("/two"))
    await delivered_to(amqp, names, receiver, "/two", 1.5)
    file.write_text("broken = ")
    await running.wait_for_line("the version before it stays in force")
    before = len(receiver.at("/two"))
    await amqp.publish_event(names.exchange, "messages.upsert", event(instance="acme"))
    await receiver.wait_for(before + 1, path="/two")
    assert await running.stop() == 0


async def test_evolutions_rows_are_delivered_as_the_file_beside_them_chooses_and_changes_noticed(
    file: Path, postgres: Postgres, worker: StartWorker, amqp: Amqp, names: Names, receiver: Receiver
) -> None:
    tag = uuid4().hex[:12]
    evolution = Evolution(postgres, f"evolution_{tag}", "evolution_api", f"reader_{tag}").create()
    evolution.instance("acme")
    evolution.webhook("acme", "worker+" + receiver.url("/one"))
    file.write_text('[[webhook]]\ninstance = "*"\nmessage_types = ["imageMessage"]\n')
    running = await worker(
        WEBHOOK_SOURCE="evolution", DATABASE_CONNECTION_URI=evolution.reader_uri, EVOLUTION_WEBHOOK_FILE=str(file)
    )
    await delivered_to(amqp, names, receiver, "/one", 10)
    text = event(instance="acme", data={"messageType": "conversation"})
    await amqp.publish_event(names.exchange, "messages.upsert", text)
    await running.wait_metric("deliveries_total", 1, outcome="Skipped", reason="filtered")
    evolution.webhook("acme", "worker+" + receiver.url("/two"))
    await delivered_to(amqp, names, receiver, "/two", 5)
    assert await running.stop() == 0


async def test_a_database_of_evolutions_that_is_away_is_waited_for(
    worker: StartWorker, amqp: Amqp, names: Names, receiver: Receiver
) -> None:
    with Postgres() as server:
        evolution = Evolution(server, "evolution", "public", "reader").create()
        evolution.instance("acme")
        evolution.webhook("acme", "worker+" + receiver.url("/one"))
        await asyncio.to_thread(server.stop)
        running = await worker(WEBHOOK_SOURCE="evolution", DATABASE_CONNECTION_URI=evolution.reader_uri)
        await amqp.publish_event(names.exchange, "messages.upsert", event(instance="acme"))
        await running.wait_for_line('"outcome":"Parked"', "config_unavailable")
        await asyncio.to_thread(server.start)
        await receiver.wait_for(1, timeout=40, path="/one")
        assert await running.stop() == 0


async def ended(worker: StartWorker, *arguments: str, **settings: str) -> tuple[int, str]:
    one: Worker = await worker(arguments=arguments, ready=False, **settings)
    code = await one.wait()
    return code, one.output()


@pytest.mark.parametrize("command", [("set", "acme", "--url", "https://h.example/"), ("delete", "acme")])
async def test_a_source_that_others_write_is_not_changed_here(
    file: Path, worker: StartWorker, command: tuple[str, ...]
) -> None:
    point(file, "https://h.example/x")
    settings = {"WEBHOOK_SOURCE": "file", "WEBHOOK_FILE": str(file)}
    code, out = await ended(worker, "webhook", *command, **settings)
    assert code == 1
    assert f"webhooks cannot be changed here with WEBHOOK_SOURCE=file: edit {file}" in out
    code, out = await ended(worker, "webhook", "list", **settings)
    assert code == 0
    assert "https://h.example/x" in out


@pytest.mark.parametrize("command", [("run",), ("check",), ("webhook", "list")])
async def test_a_broken_file_at_the_start_is_said_with_line_and_field(
    file: Path, worker: StartWorker, command: tuple[str, ...]
) -> None:
    file.write_text('[[webhook]]\ninstance = "acme"\nurl = "ftp://h/"\n')
    code, out = await ended(worker, *command, WEBHOOK_SOURCE="file", WEBHOOK_FILE=str(file))
    assert code == 1
    assert f"WEBHOOK_FILE {file}: line 3, webhook 1: url: must begin with http:// or https://" in out
    assert "Traceback" not in out

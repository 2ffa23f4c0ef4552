"""History, with a real broker and SQLite: every attempt has its row, whatever becomes of writers and database."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import RunCommand
from tests.e2e.flow import Flow
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.waiting import eventually
from worker.deadletters import browse
from worker.domain.webhook import Webhook

ALONE = {"HISTORY_WRITER": "false"}


def bodies(count: int) -> list[bytes]:
    return [event(data={"key": {"remoteJid": "5511@s.whatsapp.net", "id": str(number)}}) for number in range(count)]


def rows(tmp_path: Path) -> list[tuple[object, ...]]:
    """Webhook, outcome, status, chat and id of all rows in order of time, whoever wrote them."""
    with closing(sqlite3.connect(f"file:{tmp_path / 'history.db'}?mode=ro", uri=True)) as connection:
        return connection.execute(
            "SELECT webhook, outcome, status, chat, id FROM webhook_history ORDER BY at"
        ).fetchall()


async def written(tmp_path: Path, count: int, timeout: float = 20.0) -> list[tuple[object, ...]]:
    async def ask() -> int:
        try:
            return len(rows(tmp_path))
        except sqlite3.OperationalError:  # not made yet
            return -1

    await eventually(ask, lambda found: found == count, timeout, f"{count} rows in history.db")
    return rows(tmp_path)


async def test_successes_and_failures_have_their_rows_and_the_last_ones_come_at_the_end(
    flow: Flow, tmp_path: Path
) -> None:
    flow.receiver.always("/bad", 404)
    daemon = await flow.start(Webhook("acme", flow.receiver.url("/bad"), id="bad"))
    await flow.publish(*bodies(20))
    await flow.delivered(20)
    await daemon.wait_metric("deliveries_total", 20, outcome="DeadLettered")
    assert await daemon.stop() == 0
    await flow.daemon.start()
    found = await written(tmp_path, 40)
    assert Counter(row[:4] for row in found) == {
        ("default", "Delivered", 200, "5511@s.whatsapp.net"): 20,
        ("bad", "DeadLettered", 404, "5511@s.whatsapp.net"): 20,
    }
    assert {row[4] for row in found} == {request.header("webhook-id") for request in flow.receiver.requests}


async def test_a_database_that_is_away_changes_no_delivery_and_two_writers_catch_up_once(
    flow: Flow, worker: StartWorker, tmp_path: Path, amqp: Amqp, names: Names
) -> None:
    """A folder stands where its file should be."""
    (tmp_path / "history.db").mkdir()
    daemon = await flow.start()
    await daemon.wait_for_line("history is not written yet")
    await flow.publish(*bodies(30))
    await flow.delivered(30)
    await daemon.wait_metric("history_rows_total", 30)
    assert await daemon.metric("history_database_up") == 0
    assert await daemon.status("/readyz") == 200
    assert await daemon.stop() == 0
    assert await amqp.depth(names.history)
    (tmp_path / "history.db").rmdir()
    writers = [await worker(arguments=("history-writer",)) for _ in range(2)]
    await written(tmp_path, 30)
    await amqp.wait_depth(names.history, 0)
    assert sum([await writer.metric("history_rows_written_total") for writer in writers]) == 30
    assert [await writer.stop() for writer in writers] == [0, 0]


async def test_a_writer_that_is_killed_before_its_ack_has_written_once(
    flow: Flow, worker: StartWorker, tmp_path: Path, amqp: Amqp, names: Names
) -> None:
    """A lock on its file holds the writer between taking and acking; then its batches come to another one."""
    daemon = await flow.start(**ALONE)
    first = await worker(arguments=("history-writer",))
    await flow.publish(*bodies(5))
    await flow.delivered(5)
    await written(tmp_path, 5)
    await amqp.wait_depth(names.history, 0)
    with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        await flow.publish(*(event(data={"n": number}) for number in range(5)))
        await flow.delivered(10)
        await eventually(lambda: first.metric("history_behind_seconds"), lambda age: age > 0, 15, "a batch in hand")
        await first.kill()
        lock.execute("ROLLBACK")
    again = await worker(arguments=("history-writer",))
    found = await written(tmp_path, 10)
    assert len({row[4] for row in found}) == 10
    await amqp.wait_depth(names.history, 0)
    assert [await daemon.stop(), await again.stop()] == [0, 0]


async def test_off_means_no_queue_no_file_and_no_connection(
    flow: Flow, tmp_path: Path, amqp: Amqp, names: Names
) -> None:
    daemon = await flow.start(HISTORY="off")
    await flow.publish(*bodies(1))
    await flow.delivered(1)
    assert await amqp.depth(names.history) is None
    assert not (tmp_path / "history.db").exists()
    assert await daemon.stop() == 0
    writer = await flow.start_worker(arguments=("history-writer",), ready=False, HISTORY="off")
    assert await writer.wait() == 2


async def test_a_queue_that_is_missing_stops_no_delivery(flow: Flow, amqp: Amqp, names: Names) -> None:
    daemon = await flow.start(HISTORY="off")
    assert await daemon.stop() == 0
    daemon = await flow.start_worker(RABBITMQ_DECLARE="false")
    line = await daemon.wait_for_line("cannot work with RabbitMQ")
    assert f"{names.history} does not exist" in line
    await flow.publish(*bodies(1))
    await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
    assert await daemon.stop() == 0


async def test_a_dead_letter_is_resent_once_with_its_id_and_leaves_when_it_is_taken(
    flow: Flow, command: RunCommand, tmp_path: Path, amqp: Amqp, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browse, "RETURN_SECONDS", 3600.0)  # a letter that is taken is not waited for
    flow.receiver.always("/hook", 404)
    daemon = await flow.start()
    await flow.publish(*bodies(1))
    await amqp.wait_depth(names.dead, 1)
    (dead,) = await written(tmp_path, 1)

    async def resend(delivery_id: object) -> tuple[int, str]:
        return await command("history", "resend", str(delivery_id))

    code, output = await resend(dead[4])
    assert (code, "answered 404" in output, "a dead letter stays" in output) == (1, True, True)
    await amqp.wait_depth(names.dead, 1)
    flow.receiver.always("/hook", 200)
    code, output = await resend(dead[4])
    assert (code, "answered 200" in output) == (0, True)
    await amqp.wait_depth(names.dead, 0)
    code, output = await resend(dead[4])
    assert (code, "is not in the dead letters" in output) == (1, True)
    seen = [
        (request.header("webhook-id"), request.header("webhook-replay"), request.header("webhook-attempt"))
        for request in flow.receiver.requests
    ]
    assert seen == [(dead[4], None, "1"), (dead[4], "true", "2"), (dead[4], "true", "2")]
    found = await written(tmp_path, 3)
    assert [row[1:3] for row in found] == [("DeadLettered", 404), ("DeadLettered", 404), ("Delivered", 200)]
    assert await daemon.stop() == 0

"""More of what the other tests stand on: the worker's process, databases, Prometheus."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import psycopg
import pymysql
import pytest

from tests.support.mariadb import MariaDB
from tests.support.postgres import Postgres
from tests.support.prometheus import Prometheus, promtool
from tests.support.waiting import eventually
from tests.support.worker import Worker

STAND_IN = """
import asyncio, os, signal, sys
from aiohttp import web

async def main():
    app = web.Application()
    text = 'webhook_worker_deliveries_total{outcome="delivered",reason="ok"} 3\\n'
    text += 'webhook_worker_in_flight 1\\n'
    app.router.add_get("/readyz", lambda _: answer("ready"))
    app.router.add_get("/metrics", lambda _: answer(text))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, os.environ["METRICS_HOST"], int(os.environ["METRICS_PORT"])).start()
    print('{"message": "started", "secret": "%s"}' % os.environ["SETTING"], flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()
    sys.exit(7)

async def answer(text):
    return web.Response(text=text)

asyncio.run(main())
"""


# The worker's process, with a stand-in that speaks as it does


async def test_a_worker_process_is_started_read_and_ended() -> None:
    worker = Worker({"SETTING": "value"}, arguments=(), program=(sys.executable, "-c", STAND_IN))
    try:
        await worker.start()
        assert await worker.wait_for_line("started")
        assert worker.records == [{"message": "started", "secret": "value"}]
        key = 'webhook_worker_deliveries_total{outcome="delivered",reason="ok"}'
        assert (await worker.metrics())[key] == 3
        assert await worker.metric("deliveries_total", outcome="delivered") == 3
        assert await worker.metric("deliveries_total", outcome="skipped") == 0
        await worker.wait_metric("in_flight", 1)
        assert await worker.status("/livez") == 404
        assert await worker.stop() == 7
        await worker.start()
        await worker.kill()
        assert await worker.wait() == -signal.SIGKILL
    finally:
        await worker.kill()


async def test_a_worker_that_ends_at_once_fails_the_start_with_its_output() -> None:
    script = "print('no such setting'); raise SystemExit(2)"
    worker = Worker({}, arguments=(), program=(sys.executable, "-c", script))
    with pytest.raises(AssertionError, match="ended with 2"):
        await worker.start()
    assert await worker.wait() == 2
    assert worker.lines == ["no such setting"]


# Databases and Prometheus


def test_postgres_gives_databases_and_keeps_them_over_stop_and_kill(postgres: Postgres) -> None:
    uri = postgres.create_database("kept")
    postgres.execute("kept", "CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    for end in (postgres.stop, postgres.kill):
        end()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(uri)
        postgres.start()
        with psycopg.connect(uri) as connection:
            assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]


def test_mariadb_gives_databases_and_keeps_them_over_stop(mariadb: MariaDB) -> None:
    assert mariadb.create_database("kept") == f"mysql://worker:secret@127.0.0.1:{mariadb.port}/kept"
    mariadb.execute("kept", "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)")
    mariadb.stop()
    with pytest.raises(pymysql.err.OperationalError):
        mariadb.execute("kept", "SELECT 1")
    mariadb.start()
    mariadb.execute("kept", "INSERT INTO t VALUES (2)")


def test_a_server_has_a_folder_of_its_own_for_temporary_files(mariadb: MariaDB) -> None:
    mariadb.run("/bin/sh", "-c", 'test "$TMPDIR" = "$PWD"')


async def test_prometheus_scrapes_and_answers() -> None:
    async def query() -> list[str]:
        rows = await asyncio.to_thread(prometheus.query, "webhook_worker_in_flight")
        return [row["value"][1] for row in rows]

    worker = Worker({"SETTING": "x"}, arguments=(), program=(sys.executable, "-c", STAND_IN))
    prometheus = Prometheus([f"127.0.0.1:{worker.metrics_port}"], interval="200ms")
    try:
        await worker.start()
        await asyncio.to_thread(prometheus.start)
        assert await eventually(query, bool, 15, "a scrape") == ["1"]
    finally:
        prometheus.close()
        await worker.kill()


def test_promtool_finds_fault() -> None:
    promtool("check", "metrics", text="# HELP a_total A.\n# TYPE a_total counter\na_total 1\n")
    with pytest.raises(AssertionError, match="counter"):
        promtool("check", "metrics", text="# HELP a A.\n# TYPE a counter\na 1\n")


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: nonsense")
    prometheus = Prometheus([], rules=[rules])
    started = time.monotonic()
    with pytest.raises(RuntimeError, match="nonsense"):
        prometheus.start()
    assert time.monotonic() - started < 30
    assert not prometheus.running

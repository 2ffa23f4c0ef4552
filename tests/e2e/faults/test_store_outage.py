"""The webhooks' database is stopped under load and started again: nothing is lost, nothing goes to a wrong URL.

For a minute instead of seconds, as `make chaos` does: `STORE_OUTAGE_SECONDS=60 pytest` and the name of this file.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import pytest

from tests.conftest import StartWorker
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_process import free_port
from tests.support.postgres import Postgres
from tests.support.receiver import Receiver
from tests.support.worker import Worker
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

OUTAGE_SECONDS = float(os.environ.get("STORE_OUTAGE_SECONDS", "3"))
KNOWN = [f"known-{number}" for number in range(5)]
UNSEEN = [f"unseen-{number}" for number in range(5)]
MOVED = "moved"
EVENTS_A_SECOND = 60
TTL_SECONDS = 1


@pytest.fixture
def server() -> Iterator[Postgres]:
    """This test's own: it is stopped."""
    with Postgres() as server:
        yield server


@dataclass
class Ledger:
    """What was published to which instance, by number; for MOVED, from which number on its new URL may be in force
    (`moving_from`), and from which number on it must be."""

    published: dict[int, str] = field(default_factory=dict)
    moving_from: int = 0
    moved_from: int = 0

    def paths(self, number: int) -> set[str]:
        """Where it may have gone."""
        instance = self.published[number]
        if instance != MOVED or number < self.moving_from:
            return {f"/{instance}"}
        return {"/moved-new"} if number >= self.moved_from else {"/moved", "/moved-new"}

    async def produce(self, amqp: Amqp, names: Names, *instances: str) -> None:
        """One event for each instance after the other, until cancelled."""
        while True:
            number = len(self.published)
            self.published[number] = instances[number % len(instances)]
            body = event(instance=self.published[number], data={"number": number})
            await amqp.publish_event(names.exchange, "messages.upsert", body)
            await asyncio.sleep(1 / EVENTS_A_SECOND)  # the pace of the load


@pytest.mark.timeout(120 + 4 * OUTAGE_SECONDS)
async def test_the_database_is_stopped_under_load_and_started_again(
    server: Postgres, worker: StartWorker, amqp: Amqp, names: Names, receiver: Receiver
) -> None:
    uri, port = server.create_database("webhooks"), free_port()
    await _fill(uri, receiver, *KNOWN, MOVED)
    settings = {"DATABASE_CONNECTION_URI": uri, "CACHE_TTL_SECONDS": str(TTL_SECONDS)}
    settings["WEBHOOK_RETRY_INITIAL_DELAY_SECONDS"] = "1"
    with_api = {"AUTHENTICATION_API_KEY": "k", "SERVER_PORT": str(port)}
    workers = await asyncio.gather(worker(**with_api, **settings), worker(**settings))
    ledger = Ledger()

    producing = asyncio.create_task(ledger.produce(amqp, names, *KNOWN, MOVED))
    await receiver.wait_for(50)
    await _end(producing)
    await receiver.wait_for(len(ledger.published))
    ledger.moving_from = len(ledger.published)
    assert await _set(port, receiver.url("/moved-new")) == 201
    producing = asyncio.create_task(ledger.produce(amqp, names, MOVED))
    await receiver.wait_for(lambda _: _in_force(workers, receiver), timeout=30)
    await _end(producing)
    await receiver.wait_for(len(ledger.published))
    ledger.moved_from = len(ledger.published)
    await _fill(uri, receiver, *UNSEEN)  # now, so that the workers have not read them ahead

    await asyncio.to_thread(server.stop)
    stopped = time.monotonic()
    producing = asyncio.create_task(ledger.produce(amqp, names, *KNOWN, MOVED, *UNSEEN))
    assert await _set(port, receiver.url("/never")) == 503
    await asyncio.sleep(OUTAGE_SECONDS)  # the outage
    too_old = stopped + TTL_SECONDS + 1
    known = {f"/{name}" for name in KNOWN}
    await receiver.wait_for(lambda posts: {post.path for post in posts if post.at > too_old} >= known, timeout=30)
    await asyncio.to_thread(server.start)
    await receiver.wait_for(1, path=f"/{UNSEEN[0]}", timeout=30 + OUTAGE_SECONDS)
    await _end(producing)
    await receiver.wait_for(len(ledger.published), timeout=30 + 2 * OUTAGE_SECONDS)

    arrived = {int(post.json()["data"]["number"]): post for post in receiver.requests}
    assert arrived.keys() == ledger.published.keys(), "nothing lost, nothing made up"
    wrong = [post for post in receiver.requests if post.path not in ledger.paths(post.json()["data"]["number"])]
    assert [post.path for post in wrong] == []
    assert sum([await one.metric("config_lookups_total", result="stale") for one in workers]) > 0
    assert sum([await one.metric("deliveries_total", reason="config_unavailable") for one in workers]) > 0
    assert await amqp.depth(names.dead) == 0
    assert await _set(port, receiver.url("/again")) == 201


async def _fill(uri: str, receiver: Receiver, *instances: str) -> None:
    store = SqlStore(uri, lambda: int(time.time() * 1000))
    await store.migrate()
    for instance in instances:
        await store.put(Webhook(instance, receiver.url(f"/{instance}")))
    await store.close()


async def _set(port: int, url: str) -> int:
    async with (
        aiohttp.ClientSession(headers={"apikey": "k"}) as session,
        session.post(f"http://127.0.0.1:{port}/webhook/set/{MOVED}", json={"url": url}) as answer,
    ):
        return answer.status


def _in_force(workers: Sequence[Worker], receiver: Receiver) -> bool:
    """Whether each of them has delivered to the new URL, by its log's own words."""
    posted = {post.header("webhook-id") for post in receiver.at("/moved-new")}
    return all(any(record.get("id") in posted for record in one.records) for one in workers)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

"""What the end-to-end tests share beyond the real servers: webhooks in the worker's own table, a way to the broker."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.e2e.flow import Flow
from tests.e2e.our_sender import OurSender
from tests.proof.conformance.stage import Stage
from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.proxy import Proxy
from tests.support.receiver import Receiver
from worker.cli import main
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

PutWebhooks = Callable[..., Awaitable[None]]
PublishEvents = Callable[..., Awaitable[None]]
RunCommand = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def webhooks(tmp_path: Path) -> AsyncIterator[PutWebhooks]:
    """`await webhooks(Webhook(...), ...)` writes them into the SQLite file that this test's workers read."""
    store = SqlStore(f"sqlite:///{tmp_path / 'webhooks.db'}", lambda: int(time.time() * 1000))
    await store.migrate()

    async def put(*wanted: Webhook) -> None:
        for webhook in wanted:
            await store.put(webhook)

    yield put
    await store.close()


@pytest.fixture
def publish(amqp: Amqp, names: Names) -> PublishEvents:
    """`await publish(body, ...)` on the test's exchange, as Evolution does."""

    async def run(*bodies: bytes, routing_key: str = "messages.upsert") -> None:
        for body in bodies:
            await amqp.publish_event(names.exchange, routing_key, body)

    return run


@pytest.fixture
def command(worker: StartWorker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """`await command("history", "resend", "msg_...", SETTING="value")` carries out a command with the settings of this
    test's workers; its exit code and output. In this process, which has imported all of it: seconds less."""

    async def run(*arguments: str, **settings: str) -> tuple[int, str]:
        environment = dict((await worker(start=False, **settings)).environment)
        with monkeypatch.context() as patched:
            patched.setattr(os, "environ", environment)
            capsys.readouterr()
            code = await asyncio.to_thread(main, arguments)
        return code, "".join(capsys.readouterr())

    return run


@pytest.fixture
async def proxy(broker: LocalBroker) -> AsyncIterator[Proxy]:
    """Stands before the shared broker: `worker(RABBITMQ_URI=proxy.uri())`."""
    async with Proxy(broker.port) as proxy:
        yield proxy


@pytest.fixture
def flow(
    broker: LocalBroker, amqp: Amqp, names: Names, receiver: Receiver, worker: StartWorker, webhooks: PutWebhooks
) -> Flow:
    """Broker, receiver and worker with one webhook; through the proxy: `flow.start(RABBITMQ_URI=proxy.uri())`."""
    return Flow(broker, amqp, names, receiver, worker, webhooks)


@pytest.fixture
def ours(worker: StartWorker, webhooks: PutWebhooks) -> OurSender:
    """This worker as the conformance kit sees it; `ours.daemon` once a check has started it."""
    return OurSender(worker, webhooks)


@pytest.fixture
def stage(ours: OurSender, publish: PublishEvents, receiver: Receiver) -> Stage:
    """What a check of tests/proof/conformance plays on."""
    return Stage(ours, publish, receiver)

"""A broker, a receiver, a worker with its console, a day's past, and events that go on coming."""

from __future__ import annotations

import asyncio
import base64
import random
import secrets
import shlex
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.proof.console.cast import CAST, One, past
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.evolution import Evolution
from tests.support.local_broker import LocalBroker
from tests.support.local_process import free_port
from tests.support.postgres import Postgres
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.domain.history import Batch
from worker.stores.history.store import history_store
from worker.stores.own.store import SqlStore

KEY = "made-traffic"
TOKEN = "token-of-{}"
"""Of an instance."""

HISTORY_ROWS = 500
EVENT_SECONDS = 0.4
"""Between two events."""


@dataclass(frozen=True)
class Scene:
    """`url` is the console's; `commands` is what a shell needs for `webhook-worker` to speak of the same world."""

    url: str
    commands: str
    amqp: Amqp
    names: Names
    worker: Worker

    async def publish(self, one: One, number: int) -> None:
        """One message to one of them."""
        data = {
            "key": {"remoteJid": _chat(number), "fromMe": number % 11 == 0, "id": f"3EB0{number:016X}"},
            "pushName": "Ana",
            **_message(number),
        }
        body = event("messages.upsert", one.instance, data)
        await self.amqp.publish_event(self.names.exchange, "messages.upsert", body)

    async def play(self) -> None:
        """Until cancelled."""
        chance, number = random.Random(3), 0
        live = [one for one in CAST if one.rate]
        while True:
            number += 1
            await self.publish(chance.choices(live, [one.rate for one in live])[0], number)
            await asyncio.sleep(EVENT_SECONDS)


def _chat(number: int) -> str:
    """Most are private."""
    match number % 9:
        case 2 | 5:
            return f"1203630{number % 5:011d}@g.us"
        case 7:
            return "status@broadcast"
    return f"55119{number % 97:08d}@s.whatsapp.net"


def _message(number: int) -> dict[str, object]:
    if number % 4:
        text = f"Order {number}: still open at six?"
        return {"messageType": "conversation", "message": {"conversation": text}}
    picture = base64.b64encode(bytes(9000)).decode()
    return {"messageType": "imageMessage", "message": {"imageMessage": {"mimetype": "image/jpeg"}, "base64": picture}}


@asynccontextmanager
async def scene(port: int | None = None) -> AsyncIterator[Scene]:
    """All of it started; taken down afterwards."""
    names = Names(prefix="webhooks", exchange=f"evolution-{secrets.token_hex(4)}")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webhooks-console-")))
        broker = LocalBroker()
        stack.push_async_callback(asyncio.to_thread, broker.close)
        await asyncio.to_thread(broker.start)
        receiver = await stack.enter_async_context(Receiver())
        tokens = await asyncio.to_thread(_evolution, stack)
        await _fill(folder, receiver)
        port = port or free_port()
        settings = _settings(broker, names, folder, port, tokens)
        worker = Worker(settings)
        stack.push_async_callback(worker.kill)
        await worker.start()
        amqp = await stack.enter_async_context(await Amqp.connect(broker.uri))
        commands = "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
        running = Scene(f"http://127.0.0.1:{port}/console", commands, amqp, names, worker)
        for one in CAST:
            if one.paused:
                await _pause(f"http://127.0.0.1:{port}", one)
            if one.answers == 404:
                for number in range(3):
                    await running.publish(one, number)
        yield running


def _evolution(stack: AsyncExitStack) -> str:
    """A database of Evolution's with a token for each instance; its URI."""
    server = stack.enter_context(Postgres())
    evolution = Evolution(server, "evolution", "public", "reader").create()
    for instance in sorted({one.instance for one in CAST}):
        evolution.instance(instance, TOKEN.format(instance))
    return evolution.reader_uri


async def _pause(api: str, one: One) -> None:
    """Once there is the archive, from which it will get what it misses."""
    url, wanted = f"{api}/webhook/pause/{one.instance}", {"id": one.id}

    async def status() -> int:
        async with (
            aiohttp.ClientSession(headers={"apikey": KEY}) as session,
            session.post(url, params=wanted) as answer,
        ):
            return answer.status

    await eventually(status, lambda got: got == 200, 10.0, f"{one.instance} to be paused")


def _settings(broker: LocalBroker, names: Names, folder: Path, port: int, tokens: str) -> dict[str, str]:
    return {
        **names.environment(),
        "RABBITMQ_URI": broker.uri,
        "DATABASE_CONNECTION_URI": f"sqlite:///{folder / 'webhooks.db'}",
        "HISTORY_DATABASE_URI": f"sqlite:///{folder / 'history.db'}",
        "AUTHENTICATION_API_KEY": KEY,
        "INSTANCE_TOKENS_URI": tokens,
        "SERVER_PORT": str(port),
        "EGRESS_ALLOW": "127.0.0.0/8",
        "ORDER": "true",
    }


async def _fill(folder: Path, receiver: Receiver) -> None:
    store = SqlStore(f"sqlite:///{folder / 'webhooks.db'}", lambda: int(time.time() * 1000))
    await store.migrate()
    now = int(time.time() * 1000)
    for one in CAST:
        await store.put(one.webhook(receiver.url()))
        if one.answers != 200:
            receiver.always(one.path, Answer(one.answers, {"content-type": "text/plain"}, one.says.encode()))
    await store.close()
    rows = tuple(past(now))
    history = history_store(f"sqlite:///{folder / 'history.db'}", 7, lambda: now)
    await history.prepare()
    for first in range(0, len(rows), HISTORY_ROWS):
        await history.write([Batch("made", first, "worker-1", rows[first : first + HISTORY_ROWS])])
    await history.close()

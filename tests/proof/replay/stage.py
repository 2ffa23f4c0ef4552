"""What both trials stand on: a broker, a receiver that counts, one webhook, and workers over them."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.proof.replay.counting import CountingReceiver
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.worker import Worker
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

NAMES = Names(prefix="replayed", exchange="evolution")
COMMAND_SECONDS = 60.0


@dataclass
class Stage:
    """`settings` are those of every worker and command; `workers` deliver."""

    broker: LocalBroker
    receiver: CountingReceiver
    settings: dict[str, str]
    workers: list[Worker] = field(default_factory=list)

    @classmethod
    async def opened(cls, stack: AsyncExitStack, folder: Path, *, workers: int = 1) -> Stage:
        broker = stack.enter_context(LocalBroker())
        receiver = await stack.enter_async_context(CountingReceiver())
        settings = {
            "RABBITMQ_URI": broker.uri,
            "DATABASE_CONNECTION_URI": f"sqlite:///{folder / 'webhooks.db'}",
            "HISTORY_DATABASE_URI": f"sqlite:///{folder / 'history.db'}",
            "EGRESS_ALLOW": "127.0.0.0/8",
            **NAMES.environment(),
        }
        store = SqlStore(settings["DATABASE_CONNECTION_URI"], lambda: int(time.time() * 1000))
        await store.migrate()
        await store.put(Webhook("acme", receiver.url))
        await store.close()
        stage = cls(broker, receiver, settings)
        for _ in range(workers):
            await stage._worker(stack)
        await stage.workers[0].wait_metric("archiving", 1)
        return stage

    async def _worker(self, stack: AsyncExitStack) -> None:
        worker = Worker(self.settings)
        stack.push_async_callback(worker.kill)
        await worker.start()
        self.workers.append(worker)

    async def publish(self, amqp: Amqp, first: int, last: int) -> None:
        """Events with these numbers, the last one left out; all are confirmed."""
        bodies = [event(data={"n": number, "text": "x" * 600}) for number in range(first, last)]
        await asyncio.gather(*(amqp.publish_event(NAMES.exchange, "messages.upsert", body) for body in bodies))

    async def command(self, *arguments: str) -> list[str]:
        """Its lines. Raises AssertionError with them when it fails."""
        command = Worker(self.settings, arguments)
        await command.start(ready=False)
        code = await command.wait(COMMAND_SECONDS)
        assert code == 0, command.output()
        return command.lines

    async def newest_replay(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = json.loads("\n".join(await self.command("replays", "list", "--json")))
        return found[0]

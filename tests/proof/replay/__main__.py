"""Replays events with kill -9 on the way, and says what arrived: none missing, none twice but those in flight.

.venv/bin/python -m tests.proof.replay                    # 100,000 events, killed twice, ten minutes
.venv/bin/python -m tests.proof.replay --events 5000 --kills 1
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.replay.counting import CountingReceiver
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

NAMES = Names(prefix="replayed", exchange="evolution")
SECONDS = 900.0

IN_FLIGHT = 50
"""Events of a batch: about one the history may not have heard yet when a process is killed."""


@dataclass
class Trial:
    """One worker that delivers, and commands that replay and are killed."""

    events: int
    kills: int
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    async def run(self, stack: AsyncExitStack) -> dict[str, object]:
        broker = stack.enter_context(LocalBroker())
        receiver = await stack.enter_async_context(CountingReceiver())
        self.settings = {
            "RABBITMQ_URI": broker.uri,
            "DATABASE_CONNECTION_URI": f"sqlite:///{self.folder / 'webhooks.db'}",
            "HISTORY_DATABASE_URI": f"sqlite:///{self.folder / 'history.db'}",
            "EGRESS_ALLOW": "127.0.0.0/8",
            **NAMES.environment(),
        }
        store = SqlStore(self.settings["DATABASE_CONNECTION_URI"], lambda: int(time.time() * 1000))
        await store.migrate()
        await store.put(Webhook("acme", receiver.url))
        await store.close()
        worker = Worker(self.settings)
        stack.push_async_callback(worker.kill)
        await worker.start()
        await worker.wait_metric("archiving", 1)
        await self._deliver(broker.uri, worker)
        began = time.monotonic()
        job = await self._replay(receiver, worker)
        return self._found(receiver, job, time.monotonic() - began)

    async def _deliver(self, uri: str, worker: Worker) -> None:
        async with await Amqp.connect(uri) as amqp:
            for first in range(0, self.events, 1000):
                bodies = [event(data={"n": n, "text": "x" * 600}) for n in range(first, min(first + 1000, self.events))]
                await asyncio.gather(*(amqp.publish_event(NAMES.exchange, "messages.upsert", body) for body in bodies))
        await worker.wait_metric("deliveries_total", self.events, timeout=1200, outcome="Delivered")
        rows = await worker.metric("history_rows_total")
        await worker.wait_metric("history_rows_written_total", rows, timeout=1200)

    async def _replay(self, receiver: CountingReceiver, worker: Worker) -> dict[str, object]:
        """A command that is killed; then the worker that goes on, which is killed too, and started again."""
        command = Worker(self.settings, ("replay", "acme", "--since", "1d", "--all", "--json"))
        await command.start(ready=False)
        for kill in range(1, self.kills + 1):
            share = self.events * kill // (self.kills + 1)
            await self._replayed(receiver, share)
            victim = command if kill == 1 else worker
            await victim.kill()
            if victim is worker:
                await worker.start()
        if self.kills == 0:
            await command.wait(1200)
        return await self._ended(receiver)

    async def _replayed(self, receiver: CountingReceiver, count: int) -> None:
        async def total() -> int:
            return receiver.replayed.total()

        await eventually(total, lambda got: got >= count, SECONDS, f"{count} replayed")

    async def _ended(self, receiver: CountingReceiver) -> dict[str, object]:
        async def ask() -> dict[str, object]:
            shown = Worker(self.settings, ("replays", "list", "--json"))
            await shown.start(ready=False)
            await shown.wait(60)
            found: list[dict[str, object]] = json.loads("\n".join(shown.lines))
            return found[0]

        job = await eventually(ask, lambda found: found["ended_at"] is not None, 1200, "the replay to end")
        with suppress(AssertionError):  # said by what is missing
            await self._replayed(receiver, self.events)
        return job

    def _found(self, receiver: CountingReceiver, job: dict[str, object], seconds: float) -> dict[str, object]:
        twice = sum(count - 1 for count in receiver.replayed.values())
        missing = self.events - len(receiver.replayed)
        return {
            "events": self.events,
            "kills": self.kills,
            "missing": missing,
            "twice": twice,
            "unknown": len(receiver.replayed.keys() - receiver.first.keys()),
            "state": job["state"],
            "sent": job["sent"],
            "seconds": round(seconds, 1),
            "holds": missing == 0 and twice <= IN_FLIGHT * self.kills and job["state"] == "done",
        }


async def main(events: int, kills: int) -> int:
    with tempfile.TemporaryDirectory(prefix="webhooks-replay-") as folder:
        async with AsyncExitStack() as stack:
            found = await Trial(events, kills, Path(folder)).run(stack)
    print(json.dumps(found))
    return 0 if found["holds"] else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=2)
    options = parser.parse_args()
    raise SystemExit(asyncio.run(main(options.events, options.kills)))

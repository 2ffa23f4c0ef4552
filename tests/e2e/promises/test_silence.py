"""An instance that is connected and gets no messages any more: its owner and the operator hear of it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import orjson

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.events import event
from tests.support.receiver import Receiver
from worker.domain.silence.pulse import Pulse
from worker.domain.webhook import Webhook
from worker.stores.history.store import history_store

DAY, MINUTE = 86_400_000, 60_000


def now_ms() -> int:
    return int(time.time() * 1000)


async def ten_days_until(end: int, path: Path) -> None:
    """A message every ten minutes, ten days long, as worker processes would have written them."""
    store = history_store(f"sqlite:///{path}", 7, now_ms)
    await store.prepare()
    await store.hear([Pulse("acme", at, at) for at in range(end - 10 * DAY, end, 10 * MINUTE)])
    await store.close()


async def test_owner_and_operator_hear_once_from_two_replicas(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, tmp_path: Path
) -> None:
    """The clock is not moved: the messages lie in the past. A worker tells what it heard when it stops, too."""
    await webhooks(Webhook("acme", receiver.url("/acme"), alert_url=receiver.url("/owner")))
    await ten_days_until(now_ms() - 8 * 60 * MINUTE, tmp_path / "history.db")
    heard = await worker(HISTORY_WRITER="false")
    await publish(event(name="presence.update"), routing_key="presence.update")
    await receiver.wait_for(1, path="/acme")
    assert await heard.stop() == 0
    replicas = await asyncio.gather(*(worker(OPS_WEBHOOK_URL=receiver.url("/ops")) for _ in range(2)))
    (owner,) = await receiver.wait_for(1, path="/owner", timeout=30)
    (operator,) = await receiver.wait_for(1, path="/ops")
    assert orjson.loads(owner.body) == orjson.loads(operator.body)
    said = orjson.loads(owner.body)
    assert (said["type"], said["data"]["instance"], said["data"]["webhook"]) == ("instance.silent", "acme", None)
    assert said["data"]["fix"] == "webhook-worker history list --instance=acme --since=24h"
    for replica in replicas:
        await replica.wait_metric("silent_instances", 1)
    assert [await replica.stop() for replica in replicas] == [0, 0]
    assert (len(receiver.at("/owner")), len(receiver.at("/ops"))) == (1, 1)

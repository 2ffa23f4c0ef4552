"""A webhook that has failed every attempt for ENDPOINT_DISABLE_AFTER_SECONDS is disabled, across restarts."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from pathlib import Path

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.events import event
from tests.support.receiver import Receiver
from tests.support.waiting import eventually
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

LIMIT = 3.0
SETTINGS = {
    "ENDPOINT_DISABLE_AFTER_SECONDS": f"{LIMIT:g}",
    "WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1",
    "WEBHOOK_RETRY_USE_EXPONENTIAL_BACKOFF": "false",
    "WEBHOOK_RETRY_MAX_ATTEMPTS": "60",
}


async def failing_since(tmp_path: Path) -> int | None:
    """What the row of acme's webhook remembers."""
    store = SqlStore(f"sqlite:///{tmp_path / 'webhooks.db'}", lambda: 0)
    try:
        (webhook,) = await store.load("acme")
    finally:
        await store.close()
    return webhook.failing_since


async def test_it_is_disabled_after_the_limit_with_a_restart_in_the_middle(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, tmp_path: Path
) -> None:
    await webhooks(Webhook("acme", receiver.url("/down")), Webhook("other", receiver.url("/fine")))
    receiver.always("/down", 404)
    daemon = await worker(**SETTINGS, WEBHOOK_RETRY_NON_RETRYABLE_STATUS_CODES="400")
    began = time.time()
    await publish(event())
    await eventually(lambda: failing_since(tmp_path), lambda since: since is not None, 10, "it to be written")
    assert await daemon.stop() == 0  # and with it all its writes: the earliest start is what stays
    written = await failing_since(tmp_path)
    assert began - 0.1 <= (written or 0) / 1000 <= time.time()
    daemon = await worker(**SETTINGS, WEBHOOK_RETRY_NON_RETRYABLE_STATUS_CODES="400")
    await daemon.wait_metric("deliveries_total", 1, outcome="Skipped", reason="disabled", timeout=20)
    assert time.time() - began >= LIMIT
    assert await failing_since(tmp_path) == written, "the start is the one before the restart"
    command = await worker(arguments=("webhook", "get", "acme", "--json"), ready=False)
    assert await command.wait() == 0
    (shown,) = json.loads(command.output())
    assert shown["enabled"] is False
    (since,) = re.fullmatch(r"every attempt failed since (\S+Z)", shown["disabled_reason"]).groups()  # type: ignore[union-attr]
    assert datetime.fromisoformat(since).timestamp() == (written or 0) // 1000
    await daemon.wait_for_line("is disabled", since)
    posted = len(receiver.at("/down"))
    await publish(event(data="later"), event(instance="other"))
    await receiver.wait_for(1, path="/fine")
    await daemon.wait_metric("deliveries_total", 2, outcome="Skipped", reason="disabled")
    assert len(receiver.at("/down")) == posted


async def test_one_success_begins_anew(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, tmp_path: Path
) -> None:
    await webhooks(Webhook("acme", receiver.url("/flaky")))
    receiver.answer("/flaky", 500, 500, 500)
    daemon = await worker(**SETTINGS | {"ENDPOINT_DISABLE_AFTER_SECONDS": "10"})
    await publish(event())
    await eventually(lambda: failing_since(tmp_path), lambda since: since is not None, 10, "it to be written")
    await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
    sent = iter(range(1000))

    async def ask() -> int | None:
        await publish(event(data=next(sent)))  # no two questions to the store within a second
        return await failing_since(tmp_path)

    await eventually(ask, lambda since: since is None, 10, "it to be forgotten")


async def test_zero_means_never(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, tmp_path: Path
) -> None:
    await webhooks(Webhook("acme", receiver.url("/down")))
    receiver.always("/down", 500)
    await worker(**SETTINGS | {"ENDPOINT_DISABLE_AFTER_SECONDS": "0"})
    await publish(event())
    await receiver.wait_for(3, path="/down")
    assert await failing_since(tmp_path) is None

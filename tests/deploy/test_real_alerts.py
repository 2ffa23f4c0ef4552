"""Alerts in a real run: a real worker, a real Prometheus with the rules, and a fault made for the purpose.

The rules are those of the file, but for how long a fault must last: seconds instead of minutes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.deploy.alerts import RULES
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.events import event
from tests.support.prometheus import Prometheus
from tests.support.proxy import Proxy
from tests.support.receiver import Receiver
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.domain.webhook import Webhook

WaitFiring = Callable[..., Awaitable[None]]


@pytest.fixture
async def daemon(worker: StartWorker, proxy: Proxy) -> Worker:
    return await worker(RABBITMQ_URI=proxy.uri())


@pytest.fixture
async def wait_firing(daemon: Worker, tmp_path: Path) -> AsyncIterator[WaitFiring]:
    """`await wait_firing("WebhookWorkerX", ...)` until exactly these alerts are firing."""
    rules = tmp_path / "alerts.yaml"
    rules.write_text(re.sub(r"for: \d+[mh]", "for: 1s", RULES.read_text()))
    prometheus = Prometheus([f"127.0.0.1:{daemon.metrics_port}"], rules=[rules])

    async def firing() -> set[str]:
        found = await asyncio.to_thread(prometheus.api, "alerts")
        return {alert["labels"]["alertname"] for alert in found["alerts"] if alert["state"] == "firing"}

    async def scraped() -> bool:
        return bool(await asyncio.to_thread(prometheus.query, "webhook_worker_broker_connected == 1"))

    async def wait(*names: str) -> None:
        await eventually(firing, lambda got: got == set(names), 40, f"{names} to be firing")

    try:
        await asyncio.to_thread(prometheus.start)
        await eventually(scraped, bool, 20, "a scrape")
        yield wait
    finally:
        await asyncio.to_thread(prometheus.close)


async def test_a_broker_that_is_gone_pages_until_it_is_back(wait_firing: WaitFiring, proxy: Proxy) -> None:
    await wait_firing()
    for connection in ("publish", "consume"):
        proxy.refuse(connection)
    await wait_firing("WebhookWorkerBrokerDisconnected")
    for connection in ("publish", "consume"):
        proxy.allow(connection)
    await wait_firing()


async def test_a_receiver_that_refuses_makes_a_ticket_and_no_page(
    wait_firing: WaitFiring, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, daemon: Worker
) -> None:
    await webhooks(Webhook("acme", receiver.url("/refuses")))
    receiver.always("/refuses", 404)
    await publish(*(event(data=number) for number in range(30)))
    await daemon.wait_metric("deliveries_total", 30, outcome="DeadLettered", reason="rejected")
    await wait_firing("WebhookWorkerDeadLettersGrowing")


async def test_a_worker_that_is_gone_pages(wait_firing: WaitFiring, daemon: Worker) -> None:
    await daemon.kill()
    await wait_firing("WebhookWorkerAbsent")

"""Alerts in a real run: a real worker, a real Prometheus with the rules, and a fault made for the purpose.

The rules are those of the file, their thresholds too, but for how long a fault must last: a second instead of minutes.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.deploy.alerts import RULES, alerts
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.prometheus import Prometheus
from tests.support.proxy import Proxy
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.domain.webhook import Webhook

WaitFiring = Callable[..., Awaitable[None]]
HOURS_LATER = (sys.executable, "-m", "tests.deploy.hours_later")


@pytest.fixture
async def daemon(worker: StartWorker, proxy: Proxy) -> Worker:
    return await worker(RABBITMQ_URI=proxy.uri())


@pytest.fixture
async def wait_firing(daemon: Worker, tmp_path: Path) -> AsyncIterator[WaitFiring]:
    """`await wait_firing("WebhookWorkerX", ...)` until exactly these alerts are firing."""
    async with watched(daemon, tmp_path) as wait:
        yield wait


@asynccontextmanager
async def watched(daemon: Worker, folder: Path) -> AsyncIterator[WaitFiring]:
    """A Prometheus that has scraped the worker, and what `wait_firing` yields."""
    rules = folder / "alerts.yaml"
    text, count = re.subn(r"\bfor: \d+[mh]\b", "for: 1s", RULES.read_text())
    assert count == sum("for" in rule for rule in alerts()), "a duration that is written in another way"
    rules.write_text(text)
    prometheus = Prometheus([f"127.0.0.1:{daemon.metrics_port}"], rules=[rules])

    async def firing() -> set[str]:
        found = await asyncio.to_thread(prometheus.api, "alerts")
        return {alert["labels"]["alertname"] for alert in found["alerts"] if alert["state"] == "firing"}

    async def scraped() -> bool:
        return bool(await asyncio.to_thread(prometheus.query, "webhook_worker_broker_connected == 1"))

    async def wait(*names: str) -> None:
        await eventually(firing, lambda got: got == set(names), 40, f"{names} to be firing")

    async def unevaluated() -> set[str]:
        groups = (await asyncio.to_thread(prometheus.api, "rules"))["groups"]
        healthy = {rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "ok"}
        return {rule["alert"] for rule in alerts()} - healthy

    try:
        await asyncio.to_thread(prometheus.start)
        await eventually(scraped, bool, 20, "a scrape")
        await eventually(unevaluated, lambda names: not names, 20, "every rule to be evaluated")
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


# One run with the three faults that every operator meets: a receiver that is dead, a backlog, a broker that is stopped.


@pytest.fixture
async def own_broker() -> AsyncIterator[LocalBroker]:
    """One that may be stopped."""
    broker = LocalBroker()
    try:
        await asyncio.to_thread(broker.start)
        yield broker
    finally:
        await asyncio.to_thread(broker.close)


@pytest.fixture
def hours(tmp_path: Path) -> Path:
    """Holds the seconds by which the worker's monotonic clock is ahead."""
    file = tmp_path / "hours"
    file.write_text("0")
    return file


async def test_a_dead_receiver_a_backlog_and_a_stopped_broker_each_fire_their_alert_alone(
    own_broker: LocalBroker,
    hours: Path,
    worker: StartWorker,
    webhooks: PutWebhooks,
    receiver: Receiver,
    names: Names,
    tmp_path: Path,
) -> None:
    await webhooks(Webhook("dead", receiver.url("/dead")), Webhook("busy", receiver.url("/busy")))
    settings = {"RABBITMQ_URI": own_broker.uri, "HOURS_LATER_FILE": str(hours)}
    daemon = await worker(program=HOURS_LATER, WORKER_CONCURRENCY="4", BREAKER_FAILURES="2", **settings)
    async with watched(daemon, tmp_path) as wait_firing, await Amqp.connect(own_broker.uri) as amqp:

        async def publish(instance: str, count: int) -> None:
            for number in range(count):
                await amqp.publish_event(names.exchange, "messages.upsert", event(instance=instance, data=number))

        await wait_firing()
        await _receiver_dead_for_hours(daemon, receiver, hours, publish, wait_firing)
        await _backlog(daemon, receiver, hours, publish, wait_firing)
        await asyncio.to_thread(own_broker.stop)
        await wait_firing("WebhookWorkerBrokerDisconnected")


Publish = Callable[[str, int], Awaitable[None]]
HOUR = 3600.0


async def _receiver_dead_for_hours(
    daemon: Worker, receiver: Receiver, hours: Path, publish: Publish, wait_firing: WaitFiring
) -> None:
    await receiver.stop()
    await publish("dead", 2)
    await daemon.wait_metric("endpoints_open", 1)
    # In the middle somebody probes it, in vain: of a receiver that gets nothing for hours the worker knows nothing.
    _later(hours, 1.7 * HOUR)
    probed = await daemon.metric("attempts_total", result="connect") + 1
    await publish("dead", 1)
    await daemon.wait_metric("attempts_total", probed, result="connect")
    await wait_firing()
    _later(hours, 1.7 * HOUR)
    await wait_firing("WebhookWorkerEndpointOpenForHours")
    await receiver.start()
    _later(hours, 0.5 * HOUR)
    await publish("dead", 1)
    await eventually(lambda: daemon.metric("endpoints_open"), lambda value: value == 0, 15, "the circuit to close")
    await wait_firing()


async def _backlog(daemon: Worker, receiver: Receiver, hours: Path, publish: Publish, wait_firing: WaitFiring) -> None:
    release = asyncio.Event()
    receiver.always("/busy", Answer(release=release))
    await publish("busy", 50)
    await daemon.wait_metric("queue_messages", 10)
    _later(hours, 200)
    await wait_firing()
    _later(hours, 200)
    await wait_firing("WebhookWorkerEventsWaitTooLong")
    release.set()
    await wait_firing()


def _later(hours: Path, seconds: float) -> None:
    """Renamed into place: a file that is empty for a moment would put the clock back."""
    new = hours.with_suffix(".new")
    new.write_text(str(float(hours.read_text()) + seconds))
    new.replace(hours)

"""What an operator asks at 3 a.m., told by a running worker: does it take messages, is it stopping, what waits."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import eventually
from tests.support.webhook_rows import set_webhooks
from tests.support.worker import Worker
from worker.domain.webhook import Webhook


async def wait_zero(daemon: Worker, name: str, **labels: str) -> None:
    await eventually(lambda: daemon.metric(name, **labels), lambda value: value == 0, 20, f"{name} to be 0")


async def test_every_queue_has_its_series_at_zero_before_the_broker_is_there(worker: StartWorker, names: Names) -> None:
    daemon = await worker(ready=False, RABBITMQ_URI="amqp://127.0.0.1:1/")
    await daemon.wait_status("/livez", 200)
    found = await daemon.metrics()
    wanted = [names.events, names.retries, names.dead, names.retry(5), names.retry(21600)]
    assert {found[f'webhook_worker_queue_messages{{queue="{name}"}}'] for name in wanted} == {0}
    ages = {key: value for key, value in found.items() if key.startswith("webhook_worker_oldest_event_age_seconds")}
    assert ages == {f'webhook_worker_oldest_event_age_seconds{{queue="{name}"}}': 0 for name in ("events", "retries")}
    assert found["webhook_worker_consuming"] == found["webhook_worker_draining"] == 0


async def test_a_pause_for_bytes_and_a_drain_are_seen_and_a_backlog_grows_old(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    release = asyncio.Event()
    receiver.always("/hook", Answer(release=release))
    daemon = await worker(WORKER_MAX_BYTES="1000")
    await daemon.wait_metric("consuming", 1)
    await publish(*(event(data="x" * 1000 + str(number)) for number in range(5)))
    await wait_zero(daemon, "consuming")
    await daemon.wait_metric("oldest_event_age_seconds", 1, timeout=20, queue="events")
    assert await daemon.metric("oldest_event_age_seconds", queue="retries") == 0
    release.set()
    await daemon.wait_metric("deliveries_total", 5, outcome="Delivered")
    await daemon.wait_metric("consuming", 1)
    await wait_zero(daemon, "oldest_event_age_seconds", queue="events")

    release.clear()
    await publish(event())
    await receiver.wait_for(6)
    daemon.send_signal(signal.SIGTERM)
    await daemon.wait_metric("draining", 1)
    assert await daemon.metric("consuming") == 0
    release.set()
    assert await daemon.wait() == 0


async def test_evolutions_own_queues_count_where_they_are_consumed(
    worker: StartWorker, webhooks: PutWebhooks, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    release = asyncio.Event()
    receiver.always("/hook", Answer(release=release))
    queue = f"{names.prefix}.messages.upsert"
    await amqp.declare_queue(queue)
    try:
        daemon = await worker(RABBITMQ_SOURCE="queues", RABBITMQ_PREFIX_KEY=names.prefix, WORKER_CONCURRENCY="2")
        for number in range(5):
            await amqp.publish_event("", queue, event(data=number))
        await daemon.wait_metric("oldest_event_age_seconds", 1, timeout=20, queue="events")
        release.set()
        await daemon.wait_metric("deliveries_total", 5, outcome="Delivered")
        await wait_zero(daemon, "oldest_event_age_seconds", queue="events")
    finally:
        await amqp.channel.queue_delete(queue)


async def test_a_user_with_rights_on_the_prefix_and_the_exchange_alone_is_enough(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    broker: LocalBroker,
    names: Names,
) -> None:
    """The rights that deploy/README.md asks for."""
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.answer("/hook", 500)
    user, rights = f"user-{names.prefix}", rf"{names.prefix}\..*|{names.exchange}"
    await asyncio.to_thread(broker.ctl, "add_user", user, "password")
    try:
        permissions = (f"^({rights})$", rf"^({rights}|amq\.default)$", f"^({rights})$")
        await asyncio.to_thread(broker.ctl, "set_permissions", user, *permissions)
        daemon = await worker(
            RABBITMQ_URI=f"amqp://{user}:password@127.0.0.1:{broker.port}/", WEBHOOK_RETRY_INITIAL_DELAY_SECONDS="1"
        )
        await publish(event())
        await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
        assert not [line for line in daemon.lines if "cannot be heard" in line]
        assert await daemon.stop() == 0
    finally:
        await asyncio.to_thread(broker.ctl, "delete_user", user)


INSTANCES = 2_000


async def test_metrics_of_2_000_instances_are_those_of_one(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    amqp: Amqp,
    names: Names,
    tmp_path: Path,
) -> None:
    await webhooks(Webhook("i0", receiver.url("/hook")))
    daemon = await worker()
    await publish(event(instance="i0"), event(instance="nobody"))
    await daemon.wait_metric("deliveries_total", 2)
    before = await daemon.metrics()
    set_webhooks(tmp_path / "webhooks.db", {f"i{number}": receiver.url("/hook") for number in range(INSTANCES)})
    for start in range(1, INSTANCES, 1000):
        bodies = (event(instance=f"i{number}") for number in range(start, min(start + 1000, INSTANCES)))
        await asyncio.gather(*(amqp.publish(names.exchange, "messages.upsert", body) for body in bodies))
    await daemon.wait_metric("deliveries_total", INSTANCES, timeout=60, outcome="Delivered")
    assert (await daemon.metrics()).keys() == before.keys()

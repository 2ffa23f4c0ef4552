"""The broker itself goes, comes back, or runs out of memory: everything is delivered, a repeat has the same id."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.e2e.flow import Flow
from tests.e2e.leftovers import QUICK, assert_nothing_is_left, posts_by_id
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.receiver import Answer, Receiver
from worker.domain.webhook import Webhook


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalBroker]:
    """This module's own: it is stopped, killed and choked."""
    with LocalBroker() as broker:
        yield broker


@pytest.fixture
def names() -> Names:
    """Not cleared: the broker goes, too, and some tests have no connection to it at their end."""
    tag = secrets.token_hex(4)
    return Names(prefix=f"test-{tag}", exchange=f"evolution-{tag}")


async def test_connections_that_the_broker_closes_come_back(
    worker: StartWorker,
    webhooks: PutWebhooks,
    receiver: Receiver,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    daemon = await worker()
    await asyncio.to_thread(broker.ctl, "close_all_connections", "maintenance")
    await daemon.wait_metric("broker_reconnects_total", 2)
    await daemon.wait_ready()
    async with await Amqp.connect(broker.uri) as amqp:
        await amqp.publish_event(names.exchange, "messages.upsert", event())
        await receiver.wait_for(1)
    assert daemon.running
    await assert_nothing_is_left(daemon, broker, names)


@pytest.mark.parametrize("end", [LocalBroker.stop, LocalBroker.kill], ids=["stopped", "killed"])
async def test_a_broker_that_goes_and_comes_back_has_everything_delivered(
    flow: Flow, end: Callable[[LocalBroker], None]
) -> None:
    broker, names, receiver = flow.broker, flow.names, flow.receiver
    release = asyncio.Event()
    receiver.answer("/hook", Answer(release=release))
    receiver.answer("/bad", Answer(status=500, release=release))
    daemon = await flow.start(Webhook("bad", receiver.url("/bad")), **QUICK)
    await flow.publish(event(), event(instance="bad"))
    await receiver.wait_for(2)
    needed = (names.events, names.retries, names.dead, names.retry(1))
    await asyncio.to_thread(broker.wait_durable, *needed)
    await asyncio.to_thread(end, broker)
    await daemon.wait_status("/readyz", 503)
    release.set()  # both POSTs end while there is no broker
    await asyncio.to_thread(broker.start)
    await daemon.wait_ready()
    async with await Amqp.connect(broker.uri) as amqp:
        await amqp.publish_event(names.exchange, "messages.upsert", event(data="later"))
        await receiver.wait_for(lambda seen: any(request.json()["data"] == "later" for request in seen))
        await receiver.wait_for(2, path="/bad")
    # The one that POSTed 500 has nothing left to publish: its message was lost to this process.
    assert len({request.header("webhook-id") for request in receiver.at("/bad")}) == 1
    await flow.delivered(3)
    await flow.nothing_is_left()
    assert flow.posts() == [1, 1, 2]


async def test_a_memory_alarm_holds_up_retries_alone_and_repeats_nothing(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("well", receiver.url("/well")), Webhook("ill", receiver.url("/ill")))
    release = asyncio.Event()
    receiver.answer("/well", *[Answer(release=release)] * 3)
    receiver.answer("/ill", *[Answer(status=500, release=release)] * 3)
    daemon = await worker(**QUICK)
    await publish(*(event(instance=name, data=number) for number in range(3) for name in ("well", "ill")))
    await receiver.wait_for(6)
    await asyncio.to_thread(broker.memory_alarm, True)
    try:
        release.set()
        await daemon.wait_metric("deliveries_total", 3, outcome="Delivered")
        await daemon.wait_metric("attempts_total", 3, result="5xx")
        assert await daemon.metric("deliveries_total", outcome="Retried") == 0
        await daemon.wait_metric("broker_blocked", 1)
        await daemon.wait_metric("oldest_unconfirmed_publish_seconds", 0.5)
        assert daemon.running
    finally:
        await asyncio.to_thread(broker.memory_alarm, False)
    await receiver.wait_for(6, path="/ill")
    await daemon.wait_metric("deliveries_total", 6, outcome="Delivered")
    await daemon.wait_for_line("takes publishes again")
    assert await daemon.metric("broker_blocked") == await daemon.metric("oldest_unconfirmed_publish_seconds") == 0
    assert len([line for line in daemon.lines if "memory or disk alarm" in line]) == 1
    await assert_nothing_is_left(daemon, broker, names)
    assert sorted(posts_by_id(receiver).values()) == [1] * 3 + [2] * 3

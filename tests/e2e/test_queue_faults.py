"""Queues that are full, or deleted under the worker's hands: what was in them may be gone, nothing else is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from deploy.local_broker import LocalBroker
from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.e2e.leftovers import QUICK, assert_nothing_is_left, posts_by_id
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.receiver import Receiver
from worker.domain.webhook import Webhook


@pytest.fixture
async def limited(broker: LocalBroker, names: Names) -> AsyncIterator[Callable[[str, str], None]]:
    """`limited(queue, "1")` sets a policy that lets the queue reject what is above that length."""

    def set_policy(queue: str, length: str) -> None:
        pattern = "^" + queue.replace(".", r"\.") + "$"
        definition = f'{{"max-length":{length},"overflow":"reject-publish"}}'
        broker.ctl("set_policy", "--apply-to", "queues", "limit", pattern, definition)

    yield set_policy
    await asyncio.to_thread(broker.ctl, "set_policy", "limit", "^nothing$", '{"max-length":1}')


async def test_a_full_delay_queue_delays_retries_and_loses_none(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    broker: LocalBroker,
    names: Names,
    limited: Callable[[str, str], None],
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.always("/hook", lambda request: 500 if request.header("webhook-attempt") == "1" else 200)
    daemon = await worker(**QUICK | {"WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "2"})
    await asyncio.to_thread(limited, names.retry(2), "1")
    # RabbitMQ refuses only after it has told the publisher that the limit is passed.
    for number in range(2):
        await publish(event(data=number))
        await daemon.wait_metric("deliveries_total", number + 1, outcome="Retried")
    await publish(*(event(data=number) for number in range(2, 6)))
    await daemon.wait_for_line("publishing failed")
    await receiver.wait_for(12, timeout=30)
    await daemon.wait_metric("deliveries_total", 6, outcome="Delivered")
    await assert_nothing_is_left(daemon, broker, names)
    assert list(posts_by_id(receiver).values()) == [2] * 6


async def test_a_full_dead_letter_queue_keeps_the_letters_waiting_until_there_is_room(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    broker: LocalBroker,
    amqp: Amqp,
    names: Names,
    limited: Callable[[str, str], None],
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.always("/hook", 404)
    daemon = await worker()
    await asyncio.to_thread(limited, names.dead, "1")
    for number in range(2):
        await publish(event(data=number))
        await amqp.wait_depth(names.dead, number + 1)
    await publish(*(event(data=number) for number in range(2, 6)))
    await daemon.wait_for_line("publishing failed")
    await asyncio.to_thread(limited, names.dead, "1000")
    await amqp.wait_depth(names.dead, 6)
    assert await daemon.metric("publish_failures_total") >= 4
    await assert_nothing_is_left(daemon, broker, names, dead=6)
    assert list(posts_by_id(receiver).values()) == [1] * 6


async def test_a_queue_that_goes_on_refusing_without_a_limit_is_published_to_on_a_new_connection(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    broker: LocalBroker,
    amqp: Amqp,
    names: Names,
    limited: Callable[[str, str], None],
) -> None:
    """RabbitMQ 3.10: once the limit is gone, publishers that were refused are so for ever; newer ones need no help."""
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.always("/hook", 404)
    daemon = await worker()
    await asyncio.to_thread(limited, names.dead, "1")
    for number in range(2):
        await publish(event(data=number))
        await amqp.wait_depth(names.dead, number + 1)
    await publish(*(event(data=number) for number in range(2, 6)))
    await daemon.wait_for_line("publishing failed")
    await asyncio.to_thread(limited, "nothing", "1")
    await amqp.wait_depth(names.dead, 6, timeout=60)
    await assert_nothing_is_left(daemon, broker, names, dead=6)
    assert list(posts_by_id(receiver).values()) == [1] * 6


@pytest.mark.parametrize("part", ["events", "retries"])
async def test_a_consumed_queue_that_is_deleted_comes_back_with_its_consumer(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    broker: LocalBroker,
    amqp: Amqp,
    names: Names,
    part: str,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.answer("/hook", 500)
    daemon = await worker(**QUICK)
    await amqp.channel.queue_delete(f"{names.prefix}.{part}")
    await daemon.wait_metric("broker_reconnects_total", 1, timeout=4)
    await daemon.wait_ready()
    await publish(event())
    await receiver.wait_for(2)
    await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
    await assert_nothing_is_left(daemon, broker, names)


@pytest.mark.parametrize(("status", "part"), [(500, "retry.1s"), (404, "dead")])
async def test_a_queue_that_is_only_published_to_comes_back_when_it_is_missed(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    broker: LocalBroker,
    amqp: Amqp,
    names: Names,
    status: int,
    part: str,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.answer("/hook", status)
    daemon = await worker(**QUICK)
    await amqp.channel.queue_delete(f"{names.prefix}.{part}")
    await publish(event())
    if status == 500:
        await receiver.wait_for(2)
        await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
    else:
        await amqp.wait_depth(names.dead, 1)
        await daemon.wait_metric("deliveries_total", 1, outcome="DeadLettered")
    await assert_nothing_is_left(daemon, broker, names, dead=int(status == 404))
    assert len(posts_by_id(receiver)) == 1

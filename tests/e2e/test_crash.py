"""kill -9 at the worst moments: a repeat with the same id at most, never a loss."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from deploy.local_broker import LocalBroker
from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.e2e.leftovers import QUICK, assert_nothing_is_left, posts_by_id
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.proxy import BASIC_ACK, CONSUME, PUBLISH, Proxy, Way
from tests.support.receiver import Answer, Receiver
from worker.domain.webhook import Webhook


async def test_killed_between_the_posts_and_the_acks_it_repeats_them_with_the_same_ids(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    proxy: Proxy,
    amqp: Amqp,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    daemon = await worker(RABBITMQ_URI=proxy.uri())
    link = await proxy.link(CONSUME)
    link.stall(Way.UP)
    await publish(*(event(data=number) for number in range(5)))
    await receiver.wait_for(5)
    await link.wait_held(Way.UP, BASIC_ACK)
    await daemon.kill()
    await daemon.start()
    await receiver.wait_for(10)
    await assert_nothing_is_left(daemon, broker, names)
    assert sorted(posts_by_id(receiver).values()) == [2] * 5
    assert Counter(request.body for request in receiver.requests).most_common(1)[0][1] == 2


async def test_killed_between_the_confirmed_retry_and_the_ack_it_loses_nothing(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    proxy: Proxy,
    amqp: Amqp,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.answer("/hook", 500)
    daemon = await worker(RABBITMQ_URI=proxy.uri(), **QUICK)
    link = await proxy.link(CONSUME)
    link.stall(Way.UP)
    await publish(event())
    await link.wait_held(Way.UP, BASIC_ACK)  # only a confirmed publish makes it ack
    await daemon.kill()
    await daemon.start()
    await receiver.wait_for(3)
    await daemon.wait_metric("deliveries_total", 2, outcome="Delivered")
    await assert_nothing_is_left(daemon, broker, names)
    assert list(posts_by_id(receiver).values()) == [3]
    assert sorted(request.header("webhook-attempt") or "" for request in receiver.requests) == ["1", "1", "2"]


async def test_killed_between_the_confirmed_dead_letter_and_the_ack_it_has_the_letter_twice_at_most(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    proxy: Proxy,
    amqp: Amqp,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.always("/hook", 404)
    daemon = await worker(RABBITMQ_URI=proxy.uri())
    link = await proxy.link(CONSUME)
    link.stall(Way.UP)
    await publish(event())
    await link.wait_held(Way.UP, BASIC_ACK)
    await amqp.wait_depth(names.dead, 1)
    await daemon.kill()
    await daemon.start()
    await amqp.wait_depth(names.dead, 2)
    await assert_nothing_is_left(daemon, broker, names, dead=2)
    letters = await amqp.drain(names.dead)
    assert {letter.headers["x-delivery-id"] for letter in letters} == set(posts_by_id(receiver))
    assert len(receiver.requests) == 2


async def test_killed_before_its_retry_was_confirmed_the_broker_still_has_the_event(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    proxy: Proxy,
    amqp: Amqp,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.answer("/hook", 500)
    daemon = await worker(RABBITMQ_URI=proxy.uri(), **QUICK)
    link = await proxy.link(PUBLISH)
    link.stall(Way.UP)
    await publish(event())
    await link.wait_held(Way.UP, names.retry(1).encode())
    await daemon.kill()
    await daemon.start()
    await receiver.wait_for(2)
    await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
    await assert_nothing_is_left(daemon, broker, names)
    assert list(posts_by_id(receiver).values()) == [2]


async def test_killed_during_the_post_and_again_and_again_it_delivers_at_last(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    amqp: Amqp,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    never = Answer(release=asyncio.Event())
    receiver.answer("/hook", never, never)
    await publish_before_the_worker(amqp, names, publish)
    daemon = await worker()
    for kills in (1, 2):
        await receiver.wait_for(kills)
        await daemon.kill()
        await daemon.start()
    await receiver.wait_for(3)
    await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
    await assert_nothing_is_left(daemon, broker, names)
    assert list(posts_by_id(receiver).values()) == [3]


async def publish_before_the_worker(amqp: Amqp, names: Names, publish: PublishEvents) -> None:
    """As when events wait while no worker runs; declared as the worker does."""
    await amqp.declare_exchange(names.exchange)
    arguments = {
        "x-delivery-limit": 100,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": names.dead,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    await amqp.declare_queue(names.events, bind=(names.exchange, "#"), arguments=arguments)
    await publish(event())


@pytest.mark.parametrize("stalled", [CONSUME, PUBLISH])
async def test_a_stop_is_not_held_up_by_a_broker_that_does_not_answer(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    proxy: Proxy,
    stalled: str,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    daemon = await worker(RABBITMQ_URI=proxy.uri(), WORKER_DRAIN_SECONDS="1")
    await publish(event())
    await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
    (await proxy.link(stalled)).stall(*Way)
    assert await daemon.stop(timeout=20) == 0

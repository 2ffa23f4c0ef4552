"""The way to the broker fails in every manner: no POST is cut, nothing is lost, a repeat has the same id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from deploy.local_broker import LocalBroker
from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.e2e.leftovers import QUICK, assert_nothing_is_left, posts_by_id
from tests.support.amqp import Names
from tests.support.events import event
from tests.support.proxy import CONSUME, PUBLISH, Link, Proxy, Way
from tests.support.receiver import Answer, Receiver
from worker.domain.webhook import Webhook


@pytest.mark.parametrize("breaks", [Link.reset, lambda link: link.cut(Way.DOWN)], ids=["reset", "cut in mid-frame"])
async def test_a_lost_connection_neither_cuts_a_post_nor_repeats_it(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    proxy: Proxy,
    broker: LocalBroker,
    names: Names,
    breaks: Callable[[Link], None],
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")), Webhook("other", receiver.url("/other")))
    release = asyncio.Event()
    receiver.answer("/hook", Answer(release=release))
    daemon = await worker(RABBITMQ_URI=proxy.uri())
    link = await proxy.link(CONSUME)
    await publish(event())
    await receiver.wait_for(1)
    breaks(link)
    await publish(event(instance="other"))  # for the cut, which waits for bytes
    await proxy.link(CONSUME, after=link, timeout=4)
    await receiver.wait_for(1, path="/other")  # behind the event that came again
    release.set()
    await daemon.wait_metric("deliveries_total", 2, outcome="Delivered")
    await daemon.wait_metric("broker_reconnects_total", 1)
    await assert_nothing_is_left(daemon, broker, names)
    assert len(receiver.at("/hook")) == 1


async def test_a_post_that_ends_while_there_is_no_connection_is_not_repeated(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    proxy: Proxy,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")), Webhook("other", receiver.url("/other")))
    release = asyncio.Event()
    receiver.answer("/hook", Answer(release=release))
    daemon = await worker(RABBITMQ_URI=proxy.uri())
    link = await proxy.link(CONSUME)
    await publish(event())
    await receiver.wait_for(1)
    proxy.refuse(CONSUME)
    link.reset()
    await daemon.wait_status("/readyz", 503)
    release.set()
    await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
    proxy.allow(CONSUME)
    await publish(event(instance="other"))
    await daemon.wait_metric("deliveries_total", 2, outcome="Delivered")
    await assert_nothing_is_left(daemon, broker, names)
    assert len(receiver.at("/hook")) == 1


async def test_a_stalled_connection_is_noticed_by_its_heartbeat(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    proxy: Proxy,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    daemon = await worker(RABBITMQ_URI=proxy.uri(heartbeat=1))
    stalled = [await proxy.link(name) for name in (CONSUME, PUBLISH)]
    for link in stalled:
        link.stall(*Way)
    await publish(event())
    for link in stalled:
        await link.wait_closed(20)
    await receiver.wait_for(1)
    await daemon.wait_ready()
    await assert_nothing_is_left(daemon, broker, names)
    assert len(receiver.requests) == 1


async def test_a_slow_way_to_the_broker_only_takes_longer(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    proxy: Proxy,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.answer("/hook", 500)
    daemon = await worker(RABBITMQ_URI=proxy.uri(), **QUICK)
    for name in (CONSUME, PUBLISH):
        (await proxy.link(name)).delay = 0.1
    await publish(*(event(data=number) for number in range(20)))
    await daemon.wait_metric("deliveries_total", 20, outcome="Delivered")
    assert await daemon.metric("broker_reconnects_total") == 0
    await assert_nothing_is_left(daemon, broker, names)
    assert sorted(posts_by_id(receiver).values()) == [1] * 19 + [2]


async def test_without_its_publish_connection_a_retry_waits_and_is_settled_once(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    proxy: Proxy,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")), Webhook("well", receiver.url("/well")))
    receiver.answer("/hook", 500)
    daemon = await worker(RABBITMQ_URI=proxy.uri(), **QUICK)
    proxy.refuse(PUBLISH)
    await daemon.wait_status("/readyz", 503)
    await publish(event())
    await daemon.wait_for_line("publishing failed")
    await publish(event(instance="well"))
    await receiver.wait_for(1, path="/well")
    assert len(receiver.at("/hook")) == 1
    proxy.allow(PUBLISH)
    await receiver.wait_for(2, path="/hook")
    await daemon.wait_metric("deliveries_total", 2, outcome="Delivered")
    assert await daemon.metric("deliveries_total", outcome="Retried") == 1
    await assert_nothing_is_left(daemon, broker, names)
    assert [request.header("webhook-attempt") for request in receiver.at("/hook")] == ["1", "2"]


async def test_a_publish_whose_confirm_is_lost_is_repeated_and_loses_nothing(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    proxy: Proxy,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    receiver.answer("/hook", 500)
    daemon = await worker(RABBITMQ_URI=proxy.uri(), **QUICK)
    link = await proxy.link(PUBLISH)
    link.stall(Way.DOWN)
    await publish(event())
    await link.wait_held(Way.DOWN)  # the confirm
    link.reset()
    await receiver.wait_for(3)
    await daemon.wait_metric("deliveries_total", 2, outcome="Delivered")
    await assert_nothing_is_left(daemon, broker, names)
    assert list(posts_by_id(receiver).values()) == [3]

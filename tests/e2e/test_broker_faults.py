"""The broker and the way to it fail in every manner: nothing is lost, a repeat has the same id."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from deploy.local_broker import LocalBroker
from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.proxy import CONSUME, PUBLISH, Link, Proxy, Way
from tests.support.receiver import Answer, Receiver
from tests.support.worker import Worker
from worker.domain.webhook import Webhook

QUICK = {"WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1", "WEBHOOK_RETRY_MAX_ATTEMPTS": "5", "BREAKER_FAILURES": "1000"}


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


async def assert_nothing_is_left(daemon: Worker, broker: LocalBroker, names: Names, *, dead: int = 0) -> None:
    assert await daemon.stop() == 0
    async with await Amqp.connect(broker.uri) as amqp:
        for queue in (names.events, names.retries, names.retry(1)):
            assert not await amqp.depth(queue), queue
        assert await amqp.depth(names.dead) == dead


def ids(receiver: Receiver) -> Counter[str | None]:
    return Counter(request.header("webhook-id") for request in receiver.requests)


# Connections


@pytest.mark.parametrize("breaks", [Link.reset, lambda link: link.cut(Way.DOWN)], ids=["reset", "cut in mid-frame"])
async def test_a_lost_connection_cuts_no_post_and_the_redelivery_has_the_same_id(
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
    await receiver.wait_for(2, path="/hook")
    release.set()
    await daemon.wait_metric("deliveries_total", 3, outcome="Delivered")
    await daemon.wait_metric("broker_reconnects_total", 1)
    await assert_nothing_is_left(daemon, broker, names)
    assert len({request.header("webhook-id") for request in receiver.at("/hook")}) == 1
    assert len(receiver.at("/hook")) == 2


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
    assert sorted(ids(receiver).values()) == [1] * 19 + [2]


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
    assert list(ids(receiver).values()) == [3]


async def test_connections_that_the_broker_closes_come_back(
    worker: StartWorker,
    webhooks: PutWebhooks,
    receiver: Receiver,
    proxy: Proxy,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")))
    daemon = await worker(RABBITMQ_URI=proxy.uri())
    await asyncio.to_thread(broker.ctl, "close_all_connections", "maintenance")
    await daemon.wait_metric("broker_reconnects_total", 2)
    await daemon.wait_ready()
    async with await Amqp.connect(broker.uri) as amqp:
        await amqp.publish_event(names.exchange, "messages.upsert", event())
        await receiver.wait_for(1)
    assert daemon.running
    await assert_nothing_is_left(daemon, broker, names)


# The broker itself


@pytest.mark.parametrize("end", [LocalBroker.stop, LocalBroker.kill], ids=["stopped", "killed"])
async def test_a_broker_that_goes_and_comes_back_has_everything_delivered(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    broker: LocalBroker,
    names: Names,
    end: Callable[[LocalBroker], None],
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook")), Webhook("bad", receiver.url("/bad")))
    release = asyncio.Event()
    receiver.answer("/hook", Answer(release=release))
    receiver.answer("/bad", Answer(status=500, release=release))
    daemon = await worker(**QUICK)
    await publish(event(), event(instance="bad"))
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
        await receiver.wait_for(3, path="/hook")
        await receiver.wait_for(2, path="/bad")
    # The one that POSTed 500 has nothing left to publish: its message was lost to this process.
    assert len({request.header("webhook-id") for request in receiver.at("/bad")}) == 1
    await daemon.wait_metric("deliveries_total", 4, outcome="Delivered")
    await assert_nothing_is_left(daemon, broker, names)
    assert sorted(ids(receiver).values()) == [1, 2, 2]


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
        assert daemon.running
    finally:
        await asyncio.to_thread(broker.memory_alarm, False)
    await receiver.wait_for(6, path="/ill")
    await daemon.wait_metric("deliveries_total", 6, outcome="Delivered")
    await assert_nothing_is_left(daemon, broker, names)
    assert sorted(ids(receiver).values()) == [1] * 3 + [2] * 3


# Queues


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
    receiver.answer("/hook", *[500] * 6)
    daemon = await worker(**QUICK)
    await asyncio.to_thread(limited, names.retry(1), "1")
    await publish(*(event(data=number) for number in range(6)))
    await daemon.wait_for_line("publishing failed")
    await receiver.wait_for(12, timeout=30)
    await daemon.wait_metric("deliveries_total", 6, outcome="Delivered")
    await assert_nothing_is_left(daemon, broker, names)
    assert list(ids(receiver).values()) == [2] * 6


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
    await publish(*(event(data=number) for number in range(6)))
    await daemon.wait_for_line("publishing failed")
    # Raised: without any limit RabbitMQ 3.10 goes on refusing those publishers that it refused before.
    await asyncio.to_thread(limited, names.dead, "1000")
    await amqp.wait_depth(names.dead, 6)
    await assert_nothing_is_left(daemon, broker, names, dead=6)
    assert list(ids(receiver).values()) == [1] * 6


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
    assert len(ids(receiver)) == 1

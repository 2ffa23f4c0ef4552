"""What is declared, bound and consumed, in each mode; and that one kind of message never starves another."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator

import aio_pika
import pytest
from pamqp import constants

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.e2e.flow import Flow
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.receiver import Answer, Receiver
from tests.support.waiting import eventually
from worker.broker.past_headers import headers_of
from worker.domain.past import Past
from worker.domain.webhook import Webhook

# Who owns the topology


async def test_without_the_right_to_declare_it_names_what_is_missing_and_waits_for_it(flow: Flow) -> None:
    amqp, names = flow.amqp, flow.names
    passive = await flow.start(RABBITMQ_DECLARE="false", ready=False)
    line = await passive.wait_for_line("these do not exist")
    for name in (names.events, names.retries, names.dead, names.retry(5), names.config, names.exchange):
        assert name in line
    assert await passive.status("/readyz") == 503
    assert await passive.status("/livez") == 200
    assert [await amqp.depth(queue) for queue in (names.events, names.dead, names.retry(5))] == [None] * 3
    owner = await flow.start_worker()
    await passive.wait_ready()
    await owner.stop()
    await flow.publish(event())
    await flow.receiver.wait_for(1)
    await flow.delivered(1)


async def test_a_queue_with_other_arguments_is_named_with_the_cure_and_does_not_end_the_worker(flow: Flow) -> None:
    await flow.amqp.declare_queue(flow.names.retries, arguments={"x-max-length": 10})
    daemon = await flow.start(ready=False)
    line = await daemon.wait_for_line("inequivalent arg", flow.names.retries)
    assert "Delete it when it is empty" in line
    assert "WORKER_QUEUE_PREFIX" in line
    assert await daemon.status("/readyz") == 503
    await flow.amqp.channel.queue_delete(flow.names.retries)
    await daemon.wait_ready()
    assert len([line for line in daemon.lines if "inequivalent arg" in line]) < 10
    await flow.publish(event())
    await flow.receiver.wait_for(1)


# Evolution's own queues


async def test_evolutions_queues_are_consumed_in_every_spelling_and_stay_as_they_are(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/hook"), by_events=True))
    spellings = {
        "messages.upsert": "messages.upsert",
        "contacts-upsert": "contacts.upsert",
        "group.update": "groups.update",
    }
    queues = {f"{names.prefix}.{spelling}": key for spelling, key in spellings.items()}
    await amqp.declare_exchange(names.exchange)
    for queue, key in queues.items():
        await amqp.declare_queue(queue, bind=(names.exchange, key))
        await publish(event(key), routing_key=key)
    daemon = await worker(RABBITMQ_SOURCE="queues", RABBITMQ_PREFIX_KEY=names.prefix)
    await daemon.wait_metric("deliveries_total", 3, outcome="Delivered")
    paths = {request.path for request in receiver.requests}
    assert paths == {"/hook/messages-upsert", "/hook/contacts-upsert", "/hook/groups-update"}
    assert await amqp.depth(names.events) == 0, "nothing is bound to our own queue in this mode"
    assert await daemon.stop() == 0
    for queue in queues:
        await amqp.declare_queue(queue)  # as Evolution does at its next start: 406 if it had been changed
        assert await amqp.depth(queue) == 0
        await amqp.channel.queue_delete(queue)


async def test_changing_from_the_exchange_to_evolutions_queues_brings_no_event_twice(flow: Flow) -> None:
    amqp, names = flow.amqp, flow.names
    before = await flow.start()
    assert await before.stop() == 0
    queue = f"{names.prefix}.messages.upsert"
    await amqp.declare_queue(queue, bind=(names.exchange, "messages.upsert"))
    await flow.publish(event(data="left in our own queue"))
    daemon = await flow.start(RABBITMQ_SOURCE="queues", RABBITMQ_PREFIX_KEY=names.prefix)
    await flow.delivered(2)
    await flow.publish(event(data="new"))
    await flow.delivered(3)
    assert await daemon.stop() == 0
    seen = Counter(request.json()["data"] for request in flow.receiver.requests)
    assert seen == {"left in our own queue": 2, "new": 1}  # one copy was in each queue before the change
    assert await amqp.depth(names.events) == 0
    await amqp.channel.queue_delete(queue)


# The exchanges of single instances


@pytest.fixture
async def instances(amqp: Amqp, names: Names, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """Names as hard as Evolution allows them, of this test alone; their exchanges are deleted afterwards."""
    # The library refuses most of them, RabbitMQ none; the worker has its own way round it.
    monkeypatch.setitem(constants.DOMAIN_REGEX, "exchange-name", re.compile(".*"))
    found = [f"{names.prefix} {name}" for name in ("plain", "a.b", "x/y#*", 'São Paulo ("1")', "later")]
    yield found
    for name in found:
        await amqp.channel.exchange_delete(name)


async def exchange_exists(amqp: Amqp, name: str) -> bool:
    channel = await amqp.connection.channel()
    try:
        await channel.declare_exchange(name, passive=True)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


async def wait_exchange(amqp: Amqp, name: str) -> None:
    await eventually(lambda: exchange_exists(amqp, name), bool, 10, f"the exchange {name}")


async def test_the_exchange_of_each_instance_is_bound_a_new_ones_within_seconds(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    amqp: Amqp,
    names: Names,
    instances: list[str],
) -> None:
    *first, later = instances
    # One that cannot be bound (an exchange of that name is no topic) is no hindrance to the others.
    await webhooks(*(Webhook(name, receiver.url("/hook")) for name in (names.config, *first)))
    daemon = await worker(RABBITMQ_INSTANCE_EXCHANGES="true")
    await daemon.wait_for_line("is not bound", names.config)
    for name in first:
        await wait_exchange(amqp, name)
    # An instance that no protocol can name, and whose events must not end the worker either.
    await publish(event(instance="surrogate").replace(b"surrogate", b"\\ud83d"))
    await webhooks(Webhook(later, receiver.url("/hook")))
    await wait_exchange(amqp, later)
    await daemon.wait_for_line("exchanges of instances are bound", f"{len(instances)} ")
    for name in instances:
        await amqp.publish_event(name, "messages.upsert", event(instance=name))
    await receiver.wait_for(len(instances))
    assert {request.json()["instance"] for request in receiver.requests} == set(instances)
    assert daemon.running


async def test_the_copy_on_the_other_exchange_is_dropped_but_an_equal_event_is_not(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    amqp: Amqp,
    names: Names,
    instances: list[str],
) -> None:
    name = instances[0]
    await webhooks(Webhook(name, receiver.url("/hook")))
    daemon = await worker(RABBITMQ_INSTANCE_EXCHANGES="true")
    await daemon.wait_for_line("exchanges of instances are bound")
    both, twice = event(instance=name, data="both"), event(instance=name, data="twice")
    await publish(both)
    await amqp.publish_event(name, "messages.upsert", both)
    await publish(twice, twice)
    await daemon.wait_metric("deliveries_total", 1, outcome="Skipped", reason="duplicate")
    await daemon.wait_metric("deliveries_total", 3, outcome="Delivered")
    assert Counter(request.json()["data"] for request in receiver.requests) == {"both": 1, "twice": 2}


async def test_without_the_right_to_declare_the_exchange_of_an_instance_is_left_to_evolution(
    worker: StartWorker,
    webhooks: PutWebhooks,
    receiver: Receiver,
    amqp: Amqp,
    names: Names,
    instances: list[str],
) -> None:
    theirs, missing = instances[:2]
    await webhooks(Webhook(theirs, receiver.url("/hook")), Webhook(missing, receiver.url("/hook")))
    await amqp.declare_exchange(theirs)
    owner = await worker()
    await owner.stop()
    daemon = await worker(RABBITMQ_INSTANCE_EXCHANGES="true", RABBITMQ_DECLARE="false")
    await daemon.wait_for_line("is not bound", missing)
    await daemon.wait_for_line("exchanges of instances are bound")
    await amqp.publish_event(theirs, "messages.upsert", event(instance=theirs))
    await receiver.wait_for(1)
    assert not await exchange_exists(amqp, missing)


# Prefetch


async def test_a_flood_of_due_retries_does_not_hold_up_first_attempts(flow: Flow) -> None:
    receiver, amqp, names = flow.receiver, flow.amqp, flow.names
    receiver.always("/hangs", Answer(release=asyncio.Event()))
    others = (Webhook(name, receiver.url(f"/{name}")) for name in ("hangs", "well"))
    await flow.start(*others, LOG_LEVEL="warning")
    now = time.time()
    past = (Past(f"{number:064}", now, names.exchange, "messages.upsert", "default", 1) for number in range(2000))
    body = event(instance="hangs")
    await asyncio.gather(*(amqp.publish("", names.retries, body, headers=headers_of(one)) for one in past))
    await receiver.wait_for(1, path="/hangs")
    started = time.monotonic()
    await flow.publish(*(event(instance="well", data=number) for number in range(50)))
    await receiver.wait_for(50, path="/well")
    assert time.monotonic() - started < 5
    await flow.delivered(50)

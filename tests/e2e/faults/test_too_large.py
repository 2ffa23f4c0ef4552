"""Events that lay in a queue before the broker's max_message_size became smaller than they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.e2e.flow import Flow
from tests.e2e.leftovers import QUICK
from tests.support.amqp import Amqp
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from worker.broker.declare import declare
from worker.broker.topology import topology

LIMIT = 100_000
SMALL_LIMIT = 4_000


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalBroker]:
    with LocalBroker() as broker:
        yield broker


async def limit(broker: LocalBroker, size: int) -> None:
    """New channels of RabbitMQ 3.10 have this limit, as all have after an upgrade."""
    await asyncio.to_thread(broker.max_message_size, size)


async def waiting(flow: Flow, *bodies: bytes, size: int = LIMIT) -> None:
    """These events lie in the worker's queue when the limit falls below the size of some of them."""
    await limit(flow.broker, 134_217_728)
    async with await Amqp.connect(flow.broker.uri) as amqp:
        await declare(amqp.connection, topology(flow.names.prefix, flow.names.exchange, (1,)), bind=True)
        for body in bodies:
            await amqp.publish_event(flow.names.exchange, "messages.upsert", body)
        await amqp.wait_depth(flow.names.events, len(bodies))
    await limit(flow.broker, size)


@pytest.mark.parametrize("size", [LIMIT, SMALL_LIMIT])
async def test_it_becomes_a_dead_letter_while_smaller_events_go_on_without_a_reconnect(flow: Flow, size: int) -> None:
    flow.receiver.always("/hook", lambda request: 500 if request.header("webhook-attempt") == "1" else 200)
    large = [event(data="x" * size), event(data="y" * (2 * size))]
    small = [event(data=number) for number in range(20)]
    await waiting(flow, *small[:10], *large, *small[10:], size=size)
    daemon = await flow.start(**QUICK | {"BREAKER_MIN_REQUESTS": "1000"})
    await flow.delivered(20)
    await daemon.wait_metric("deliveries_total", 2, outcome="DeadLettered", reason="too_large_for_broker")
    await flow.amqp.wait_depth(flow.names.dead, 2)
    connected = [record["connection"] for record in daemon.records if record["message"] == "connected to RabbitMQ"]
    assert len(connected) == len({*connected}) >= 2, "each once: consuming, publishing, history"
    assert daemon.output().count("(max_message_size)") == 1, "told once"
    await flow.nothing_is_left(dead=2)
    assert flow.posts() == [1] * 2 + [2] * 20


async def test_redrive_posts_what_the_broker_does_not_take_and_moves_the_rest(flow: Flow) -> None:
    """The receiver refuses for good, is repaired, and one letter of the two large ones fails again."""
    flow.receiver.always("/hook", 404)
    bodies = [event(data="x" * LIMIT), event(data=1), event(data="y" * LIMIT)]
    await waiting(flow, *bodies)
    daemon = await flow.start(**QUICK)
    await flow.amqp.wait_depth(flow.names.dead, 3)
    await daemon.stop()
    flow.receiver.always("/hook", lambda request: 500 if b"yyyy" in request.body else 200)
    redrive = await flow.start_worker(arguments=("dead", "redrive", "--all"), ready=False)
    assert await redrive.wait() == 1
    assert "redrove 2 letters: 1 rejected, 1 too_large_for_broker" in redrive.output()
    assert "left 1 letters too large for RabbitMQ: evt_" in redrive.output()
    assert "the receiver answered 500" in redrive.output()
    assert await flow.amqp.depth(flow.names.dead) == 1
    assert await flow.amqp.depth(flow.names.events) + await flow.amqp.depth(flow.names.retries) == 1
    flow.receiver.always("/hook", 200)
    again = await flow.start_worker(arguments=("dead", "redrive", "--reason", "too_large_for_broker"), ready=False)
    assert await again.wait() == 0
    assert await flow.amqp.depth(flow.names.dead) == 0
    ids = [request.header("webhook-id") for request in flow.receiver.requests if b"yyyy" in request.body]
    assert len(ids) == 3
    assert len(set(ids)) == 1, "the same id in every life"


async def test_its_first_attempt_delivers_it_as_ever(flow: Flow) -> None:
    await waiting(flow, event(data="x" * LIMIT))
    await flow.start(**QUICK)
    await flow.delivered(1)
    await flow.nothing_is_left()


async def test_a_queue_that_would_drop_it_gets_it_back(flow: Flow) -> None:
    """RABBITMQ_SOURCE=queues: Evolution's queues have no dead-letter exchange."""
    flow.receiver.always("/hook", 500)
    await limit(flow.broker, 134_217_728)
    theirs = f"{flow.names.prefix}evolution.messages.upsert"
    async with await Amqp.connect(flow.broker.uri) as amqp:
        await amqp.declare_queue(theirs)
        await amqp.publish("", theirs, event(data="x" * LIMIT))
    await limit(flow.broker, LIMIT)
    settings = {"RABBITMQ_SOURCE": "queues", "RABBITMQ_PREFIX_KEY": f"{flow.names.prefix}evolution"}
    daemon = await flow.start(**QUICK | settings)
    await daemon.wait_for_line("is offered again in")
    assert await daemon.stop() == 0
    await flow.amqp.wait_depth(theirs, 1)
    assert await flow.amqp.depth(flow.names.dead) == 0

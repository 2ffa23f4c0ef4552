"""A cluster of three nodes whose links break, under replicas that deliver in order.

`python -m tests.proof.order cluster`. The active replica is on the node that leads the queue, the other one on another.
A blip gives the queue to the other replica and tells the first one nothing (ORDER's lease is for this).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PutWebhooks, webhooks
from tests.proof.order.crashes import SETTINGS, Stage
from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.local_cluster import LocalCluster
from tests.support.receiver import Receiver
from worker.domain.webhook import RateLimit, Webhook

__all__ = ["webhooks"]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """A new one for each test: one that has broken apart may stay so."""
    with LocalCluster(request.param) as cluster:
        yield cluster


goes_on = pytest.mark.parametrize("cluster", ["ignore"], indirect=True)
pauses = pytest.mark.parametrize("cluster", ["pause_minority"], indirect=True)


@pytest.fixture
def broker(cluster: LocalCluster) -> LocalBroker:
    """Where events are published: the third node."""
    return cluster.nodes[2]


@pytest.fixture
async def stage(
    worker: StartWorker,
    cluster: LocalCluster,
    broker: LocalBroker,
    webhooks: PutWebhooks,
    receiver: Receiver,
    amqp: Amqp,
    names: Names,
) -> AsyncIterator[Stage]:
    await webhooks(Webhook("acme", receiver.url("/bot"), order="chat", rate_limit=RateLimit(60, 1)))

    async def publish(*bodies: bytes) -> None:
        for body in bodies:
            await amqp.publish_event(names.exchange, "messages.upsert", body)

    stage = Stage(worker, broker, publish, receiver, amqp)
    for node in cluster.nodes[:2]:
        started = await worker(RABBITMQ_URI=node.uri, **SETTINGS)
        if node is cluster.nodes[0]:
            await started.wait_metric("ordered_active", 1, timeout=40.0)
    yield stage
    await stage.close()


@goes_on
async def test_links_that_drop_for_a_moment(stage: Stage, cluster: LocalCluster) -> None:
    for _ in range(4):
        await stage.say(15)
        await asyncio.to_thread(cluster.blip, 0)
        await stage.say(15)
    await stage.all_in_order(180.0)


@goes_on
async def test_links_that_drop_for_a_moment_while_a_receiver_is_down(stage: Stage, cluster: LocalCluster) -> None:
    stage.book.status = 503
    await stage.say(15)
    await asyncio.to_thread(cluster.blip, 0)
    await stage.say(15)
    await asyncio.to_thread(cluster.blip, 0)
    stage.book.status = 200
    await stage.say(5)
    await stage.all_in_order(180.0)


@pauses
async def test_links_that_drop_for_ten_seconds(stage: Stage, cluster: LocalCluster) -> None:
    await stage.say(15)
    await stage.delivered(5)
    await asyncio.to_thread(cluster.cut_off, 0)
    await stage.say(15)
    await asyncio.sleep(10.0)
    await asyncio.to_thread(cluster.join_again, 0)
    await stage.say(15)
    await stage.all_in_order(240.0)

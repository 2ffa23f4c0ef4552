"""RabbitMQ itself under replicas that deliver in order: it restarts, it takes channels away, it gives a replay back.

`python -m tests.proof.order broker [WHICH]`. Each test has a broker of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PutWebhooks, webhooks
from tests.proof.order.crashes import CHATS, Book, Stage
from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.receiver import Receiver
from tests.support.waiting import eventually
from worker.domain.webhook import RateLimit, Webhook

__all__ = ["webhooks"]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def broker() -> Iterator[LocalBroker]:
    with LocalBroker() as broker:
        yield broker


@pytest.fixture
def names() -> Names:
    return Names(prefix="webhooks", exchange="evolution_exchange")


class Evolution:
    """Publishes over a connection that can be made anew."""

    def __init__(self, broker: LocalBroker, names: Names) -> None:
        self._broker, self._names = broker, names
        self.amqp: Amqp | None = None

    async def connect(self) -> None:
        self.amqp = await Amqp.connect(self._broker.uri)

    async def __call__(self, *bodies: bytes) -> None:
        assert self.amqp is not None
        for body in bodies:
            await self.amqp.publish_event(self._names.exchange, "messages.upsert", body)


@pytest.fixture
async def evolution(broker: LocalBroker, names: Names) -> Evolution:
    made = Evolution(broker, names)
    await made.connect()
    return made


@pytest.fixture
async def stage(
    worker: StartWorker,
    broker: LocalBroker,
    webhooks: PutWebhooks,
    evolution: Evolution,
    receiver: Receiver,
) -> AsyncIterator[Stage]:
    await webhooks(Webhook("acme", receiver.url("/bot"), order="chat", rate_limit=RateLimit(60, 1)))
    assert evolution.amqp is not None
    stage = Stage(worker, broker, evolution, receiver, evolution.amqp)
    yield stage
    await stage.close()


@pytest.mark.parametrize("killed", [False, True])
async def test_a_restart_while_events_wait_in_a_siding_and_in_the_queue(
    stage: Stage, broker: LocalBroker, names: Names, evolution: Evolution, killed: bool
) -> None:
    first = await stage.active()
    await stage.worker()
    await stage.down(first)
    await stage.say(20)
    await asyncio.to_thread(broker.wait_durable, names.events, names.ordered, f"{names.ordered}.1")
    await asyncio.to_thread(broker.kill if killed else broker.stop)
    stage.book.status = 200
    await asyncio.to_thread(broker.start)
    await evolution.connect()
    await stage.say(20)
    await stage.all_in_order(120.0)


@pytest.mark.parametrize("killed", [False, True])
async def test_a_restart_while_events_are_delivered(
    stage: Stage, broker: LocalBroker, names: Names, evolution: Evolution, killed: bool
) -> None:
    await stage.active()
    await stage.worker()
    await stage.say(1)
    await asyncio.to_thread(broker.wait_durable, names.events, names.ordered)
    await stage.say(40)
    await stage.delivered(20)
    await asyncio.to_thread(broker.kill if killed else broker.stop)
    await asyncio.to_thread(broker.start)
    await evolution.connect()
    await stage.say(20)
    await stage.all_in_order(120.0)


async def test_a_consumer_timeout_of_seconds_takes_the_label_of_a_siding_away_again_and_again(
    stage: Stage, broker: LocalBroker
) -> None:
    """The label of a siding in use is un-acked for minutes. RabbitMQ 3.10 closes the channel."""
    for name, milliseconds in (("consumer_timeout", 6000), ("channel_tick_interval", 500)):
        await asyncio.to_thread(broker.ctl, "eval", f"application:set_env(rabbit, {name}, {milliseconds}).")
    first = await stage.active()
    await stage.down(first)

    async def endings() -> int:
        return sum("lost the connection to RabbitMQ" in line and "worker ordered" in line for line in first.lines)

    for times in (1, 2):
        await eventually(endings, lambda found, least=times: found >= least, 60.0, "RabbitMQ closes the channel")
        await first.wait_metric("ordered_active", 1, timeout=30.0)
        await stage.say(5)
    stage.book.status = 200
    await stage.all_in_order(120.0)


@pytest.mark.parametrize("killed", [False, True])
async def test_a_replay_comes_in_order_whoever_is_active(stage: Stage, worker: StartWorker, killed: bool) -> None:
    """What the receiver refused for good is replayed, and the active replica is killed meanwhile."""
    archived = {"ORDER": "true", "ARCHIVE": "true", "BREAKER_FAILURES": "100000"}
    first = await stage.active(**archived)
    await first.wait_metric("archiving", 1, timeout=30.0)
    await stage.worker(**archived)
    stage.book.status = 404
    await stage.say(60)
    await first.wait_metric("deliveries_total", 60 * len(CHATS), outcome="DeadLettered", timeout=60.0)
    refused, stage.book = stage.book, Book()  # which takes no dead letter for a delivery
    stage.receiver.always("/bot", stage.book.answer)
    replay = await worker(arguments=("replay", "acme", "--since", "1h"), ready=False, **archived)
    await stage.delivered(30)
    if killed:
        await first.kill()
    assert await replay.wait(120.0) == 0, replay.output()
    await stage.all_in_order(120.0)
    posts = stage.receiver.at("/bot")[refused.posts :]
    assert {request.header("webhook-replay") for request in posts} == {"true"}

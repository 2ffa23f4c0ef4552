"""Promise 9 of the README: what is done is not repeated, what is not done is not lost; and how it ends."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.e2e.our_sender import OurSender
from tests.proof.conformance.checks.stopping import a_drain
from tests.proof.conformance.stage import Stage
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.receiver import Answer, Receiver
from worker.domain.webhook import Webhook

FAST_SECONDS = 10.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_worker_ends_fast_with_0(worker: StartWorker, number: signal.Signals) -> None:
    daemon = await worker()
    started = time.monotonic()
    daemon.send_signal(number)
    assert await daemon.wait() == 0
    assert time.monotonic() - started < FAST_SECONDS


async def test_it_ends_fast_while_the_broker_is_away(worker: StartWorker) -> None:
    daemon = await worker(ready=False, RABBITMQ_URI="amqp://guest:guest@127.0.0.1:1/")
    await daemon.wait_for_line("no connection to RabbitMQ")
    started = time.monotonic()
    assert await daemon.stop() == 0
    assert time.monotonic() - started < FAST_SECONDS


async def test_what_is_in_flight_is_finished(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    release = asyncio.Event()
    await webhooks(Webhook("acme", receiver.url("/slow")))
    receiver.always("/slow", Answer(release=release))
    daemon = await worker()
    await publish(event())
    await receiver.wait_for(1)
    daemon.send_signal(signal.SIGTERM)
    await daemon.wait_for_line("stopping")
    assert await daemon.status("/readyz") == 503
    release.set()
    assert await daemon.wait() == 0
    assert [await amqp.depth(queue) for queue in (names.events, names.retries)] == [0, 0]
    assert len(receiver.requests) == 1


async def test_promise_9_a_delivery_that_is_done_is_not_repeated_and_the_unfinished_one_is_parked(
    stage: Stage, ours: OurSender, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    async def stopped() -> None:
        assert "shutdown" in await ours.daemon.wait_for_line('"Parked"')
        assert await amqp.depth(names.events) == 0, "not repeated whole"
        await amqp.wait_depth(names.retries, 1)

    async def finished() -> None:
        await amqp.wait_depth(names.retries, 0)

    await a_drain(stage.at(one_is_delivered=ours.delivered(1), stopped=stopped, finished=finished))
    assert len(receiver.at("/done")) == 1
    first, again = receiver.at("/hangs")
    assert first.header("webhook-id") == again.header("webhook-id")
    assert again.header("webhook-attempt") == "1", "no attempt was charged"


async def test_what_has_not_started_is_handed_back_or_parked_and_nothing_is_lost(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    release = asyncio.Event()
    await webhooks(Webhook("acme", receiver.url("/hangs")))
    receiver.always("/hangs", Answer(release=release))
    daemon = await worker(WORKER_DRAIN_SECONDS="0.3")
    await publish(*(event(data=number) for number in range(60)))
    await receiver.wait_for(1)
    assert await daemon.stop() == 0
    release.set()
    messages = [
        message
        for queue in (names.events, names.retries, *map(names.retry, (5, 15, 45)))
        for message in await amqp.drain(queue)
    ]
    assert sorted(message.body for message in messages) == sorted(event(data=number) for number in range(60))
    assert {message.headers.get("x-delivery-attempts", 0) for message in messages} == {0}
    assert await amqp.depth(names.dead) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_ends_at_once_and_the_broker_has_the_rest(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    amqp: Amqp,
    names: Names,
    number: signal.Signals,
    code: int,
) -> None:
    release = asyncio.Event()
    await webhooks(Webhook("acme", receiver.url("/hangs")))
    receiver.always("/hangs", Answer(release=release))
    daemon = await worker()
    await publish(event())
    await receiver.wait_for(1)
    daemon.send_signal(number)
    await daemon.wait_for_line("stopping")
    started = time.monotonic()
    daemon.send_signal(number)
    assert await daemon.wait() == code
    assert time.monotonic() - started < FAST_SECONDS
    await amqp.wait_depth(names.events, 1)
    release.set()

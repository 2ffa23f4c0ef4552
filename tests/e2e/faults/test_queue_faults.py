"""Queues that are full, or deleted under the worker's hands: what was in them may be gone, nothing else is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from tests.e2e.flow import Flow
from tests.e2e.leftovers import QUICK, posts_by_id
from tests.support.amqp import Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.worker import PROGRAM

IMPATIENT = (sys.executable, "-m", "tests.e2e.faults.impatient")
Limit = Callable[[str, str], Awaitable[None]]


@pytest.fixture
async def limited(broker: LocalBroker, names: Names) -> AsyncIterator[Limit]:
    """`await limited(queue, "1")` sets a policy that lets the queue reject what is above that length."""

    async def set_policy(queue: str, length: str) -> None:
        pattern = "^" + queue.replace(".", r"\.") + "$"
        definition = f'{{"max-length":{length},"overflow":"reject-publish"}}'
        await asyncio.to_thread(broker.ctl, "set_policy", "--apply-to", "queues", "limit", pattern, definition)

    yield set_policy
    await asyncio.to_thread(broker.ctl, "set_policy", "limit", "^nothing$", '{"max-length":1}')


async def test_a_full_delay_queue_delays_retries_and_loses_none(flow: Flow, limited: Limit) -> None:
    flow.receiver.always("/hook", lambda request: 500 if request.header("webhook-attempt") == "1" else 200)
    daemon = await flow.start(**QUICK | {"WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "2"})
    await limited(flow.names.retry(2), "1")
    # RabbitMQ refuses only after it has told the publisher that the limit is passed.
    for number in range(2):
        await flow.publish(event(data=number))
        await daemon.wait_metric("deliveries_total", number + 1, outcome="Retried")
    await flow.publish(*(event(data=number) for number in range(2, 6)))
    await daemon.wait_for_line("publishing failed")
    await flow.receiver.wait_for(12, timeout=30)
    await flow.delivered(6)
    await flow.nothing_is_left()
    assert flow.posts() == [2] * 6


async def fill_the_dead_letters(flow: Flow, limited: Limit, program: Sequence[str] = PROGRAM) -> None:
    """A worker all of whose six deliveries die, two of them into a queue that then refuses the other four."""
    flow.receiver.always("/hook", 404)
    daemon = await flow.start(program=program)
    await limited(flow.names.dead, "1")
    for number in range(2):
        await flow.publish(event(data=number))
        await flow.amqp.wait_depth(flow.names.dead, number + 1)
    await flow.publish(*(event(data=number) for number in range(2, 6)))
    await daemon.wait_for_line("publishing failed")


async def test_a_full_dead_letter_queue_keeps_the_letters_waiting_until_there_is_room(
    flow: Flow, limited: Limit
) -> None:
    await fill_the_dead_letters(flow, limited)
    await limited(flow.names.dead, "1000")
    await flow.amqp.wait_depth(flow.names.dead, 6)
    assert await flow.daemon.metric("publish_failures_total") >= 4
    await flow.nothing_is_left(dead=6)
    assert flow.posts() == [1] * 6


async def test_a_queue_that_goes_on_refusing_without_a_limit_is_published_to_on_a_new_connection(
    flow: Flow, limited: Limit
) -> None:
    """RabbitMQ 3.10: once the limit is gone, publishers that were refused are so for ever; newer ones need no help."""
    await fill_the_dead_letters(flow, limited, IMPATIENT)
    await limited("nothing", "1")
    await flow.amqp.wait_depth(flow.names.dead, 6, timeout=60)
    await flow.nothing_is_left(dead=6)
    assert flow.posts() == [1] * 6


@pytest.mark.parametrize("part", ["events", "retries"])
async def test_a_consumed_queue_that_is_deleted_comes_back_with_its_consumer(flow: Flow, part: str) -> None:
    flow.receiver.answer("/hook", 500)
    daemon = await flow.start(**QUICK)
    await flow.amqp.channel.queue_delete(f"{flow.names.prefix}.{part}")
    await daemon.wait_metric("broker_reconnects_total", 1, timeout=4)
    await daemon.wait_ready()
    await flow.publish(event())
    await flow.receiver.wait_for(2)
    await flow.delivered(1)
    await flow.nothing_is_left()


@pytest.mark.parametrize(("status", "part"), [(500, "retry.1s"), (404, "dead")])
async def test_a_queue_that_is_only_published_to_comes_back_when_it_is_missed(
    flow: Flow, status: int, part: str
) -> None:
    flow.receiver.answer("/hook", status)
    daemon = await flow.start(**QUICK)
    await flow.amqp.channel.queue_delete(f"{flow.names.prefix}.{part}")
    await flow.publish(event())
    if status == 500:
        await flow.receiver.wait_for(2)
        await flow.delivered(1)
    else:
        await flow.amqp.wait_depth(flow.names.dead, 1)
        await daemon.wait_metric("deliveries_total", 1, outcome="DeadLettered")
    await flow.nothing_is_left(dead=int(status == 404))
    assert len(posts_by_id(flow.receiver)) == 1

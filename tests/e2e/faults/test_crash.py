"""kill -9 at the worst moments: a repeat with the same id at most, never a loss."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.e2e.flow import Flow
from tests.e2e.leftovers import QUICK, posts_by_id
from tests.support.events import event
from tests.support.proxy import BASIC_ACK, CONSUME, PUBLISH, Link, Proxy, Way
from tests.support.receiver import Answer


async def start_unheard(flow: Flow, proxy: Proxy, name: str, **settings: str) -> Link:
    """A worker; what it sends on that connection from now on does not reach the broker."""
    await flow.start(RABBITMQ_URI=proxy.uri(), **settings)
    link = await proxy.link(name)
    link.stall(Way.UP)
    return link


async def test_killed_between_the_posts_and_the_acks_it_repeats_them_with_the_same_ids(
    flow: Flow, proxy: Proxy
) -> None:
    link = await start_unheard(flow, proxy, CONSUME)
    await flow.publish(*(event(data=number) for number in range(5)))
    await flow.receiver.wait_for(5)
    await link.wait_held(Way.UP, BASIC_ACK)
    await flow.kill_and_start()
    await flow.receiver.wait_for(10)
    await flow.nothing_is_left()
    assert flow.posts() == [2] * 5
    assert Counter(request.body for request in flow.receiver.requests).most_common(1)[0][1] == 2


async def test_killed_between_the_confirmed_retry_and_the_ack_it_loses_nothing(flow: Flow, proxy: Proxy) -> None:
    flow.receiver.answer("/hook", 500)
    link = await start_unheard(flow, proxy, CONSUME, **QUICK)
    await flow.publish(event())
    await link.wait_held(Way.UP, BASIC_ACK)  # only a confirmed publish makes it ack
    await flow.kill_and_start()
    await flow.receiver.wait_for(3)
    await flow.delivered(2)
    await flow.nothing_is_left()
    assert flow.posts() == [3]
    assert sorted(request.header("webhook-attempt") or "" for request in flow.receiver.requests) == ["1", "1", "2"]


async def test_killed_between_the_confirmed_dead_letter_and_the_ack_it_has_the_letter_twice_at_most(
    flow: Flow, proxy: Proxy
) -> None:
    flow.receiver.always("/hook", 404)
    link = await start_unheard(flow, proxy, CONSUME)
    await flow.publish(event())
    await link.wait_held(Way.UP, BASIC_ACK)
    await flow.amqp.wait_depth(flow.names.dead, 1)
    await flow.kill_and_start()
    await flow.amqp.wait_depth(flow.names.dead, 2)
    await flow.nothing_is_left(dead=2)
    letters = await flow.amqp.drain(flow.names.dead)
    assert {letter.headers["x-delivery-id"] for letter in letters} == set(posts_by_id(flow.receiver))
    assert len(flow.receiver.requests) == 2


async def test_killed_before_its_retry_was_confirmed_the_broker_still_has_the_event(flow: Flow, proxy: Proxy) -> None:
    flow.receiver.answer("/hook", 500)
    link = await start_unheard(flow, proxy, PUBLISH, **QUICK)
    await flow.publish(event())
    await link.wait_held(Way.UP, flow.names.retry(1).encode())
    await flow.kill_and_start()
    await flow.receiver.wait_for(2)
    await flow.delivered(1)
    await flow.nothing_is_left()
    assert flow.posts() == [2]


async def test_killed_during_the_post_and_again_and_again_it_delivers_at_last(flow: Flow) -> None:
    never = Answer(release=asyncio.Event())
    flow.receiver.answer("/hook", never, never)
    await publish_before_the_worker(flow)
    await flow.start()
    for kills in (1, 2):
        await flow.receiver.wait_for(kills)
        await flow.kill_and_start()
    await flow.receiver.wait_for(3)
    await flow.delivered(1)
    await flow.nothing_is_left()
    assert flow.posts() == [3]


async def publish_before_the_worker(flow: Flow) -> None:
    """As when events wait while no worker runs; declared as the worker does."""
    await flow.amqp.declare_exchange(flow.names.exchange)
    arguments = {
        "x-delivery-limit": 100,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": flow.names.dead,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    await flow.amqp.declare_queue(flow.names.events, bind=(flow.names.exchange, "#"), arguments=arguments)
    await flow.publish(event())


@pytest.mark.parametrize("stalled", [CONSUME, PUBLISH])
async def test_a_stop_is_not_held_up_by_a_broker_that_does_not_answer(flow: Flow, proxy: Proxy, stalled: str) -> None:
    daemon = await flow.start(RABBITMQ_URI=proxy.uri(), WORKER_DRAIN_SECONDS="1")
    await flow.publish(event())
    await flow.delivered(1)
    (await proxy.link(stalled)).stall(*Way)
    assert await daemon.stop(timeout=20) == 0

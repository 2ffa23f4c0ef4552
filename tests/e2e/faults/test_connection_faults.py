"""The way to the broker fails in every manner: no POST is cut, nothing is lost, a repeat has the same id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.e2e.flow import Flow
from tests.e2e.leftovers import QUICK
from tests.support.events import event
from tests.support.proxy import CONSUME, PUBLISH, Link, Proxy, Way
from tests.support.receiver import Answer
from worker.domain.webhook import Webhook


@pytest.mark.parametrize("breaks", [Link.reset, lambda link: link.cut(Way.DOWN)], ids=["reset", "cut in mid-frame"])
async def test_a_lost_connection_neither_cuts_a_post_nor_repeats_it(
    flow: Flow, proxy: Proxy, breaks: Callable[[Link], None]
) -> None:
    receiver, release = flow.receiver, asyncio.Event()
    receiver.answer("/hook", Answer(release=release))
    daemon = await flow.start(Webhook("other", receiver.url("/other")), RABBITMQ_URI=proxy.uri())
    link = await proxy.link(CONSUME)
    await flow.publish(event())
    await receiver.wait_for(1)
    breaks(link)
    await flow.publish(event(instance="other"))  # for the cut, which waits for bytes
    await proxy.link(CONSUME, after=link, timeout=4)
    await receiver.wait_for(1, path="/other")  # behind the event that came again
    release.set()
    await flow.delivered(2)
    await daemon.wait_metric("broker_reconnects_total", 1)
    await flow.nothing_is_left()
    assert len(receiver.at("/hook")) == 1


async def test_a_post_that_ends_while_there_is_no_connection_is_not_repeated(flow: Flow, proxy: Proxy) -> None:
    receiver, release = flow.receiver, asyncio.Event()
    receiver.answer("/hook", Answer(release=release))
    daemon = await flow.start(Webhook("other", receiver.url("/other")), RABBITMQ_URI=proxy.uri())
    link = await proxy.link(CONSUME)
    await flow.publish(event())
    await receiver.wait_for(1)
    proxy.refuse(CONSUME)
    link.reset()
    await daemon.wait_status("/readyz", 503)
    release.set()
    await flow.delivered(1)
    proxy.allow(CONSUME)
    await flow.publish(event(instance="other"))
    await flow.delivered(2)
    await flow.nothing_is_left()
    assert len(receiver.at("/hook")) == 1


async def test_a_stalled_connection_is_noticed_by_its_heartbeat(flow: Flow, proxy: Proxy) -> None:
    daemon = await flow.start(RABBITMQ_URI=proxy.uri(heartbeat=1))
    stalled = [await proxy.link(name) for name in (CONSUME, PUBLISH)]
    for link in stalled:
        link.stall(*Way)
    await flow.publish(event())
    for link in stalled:
        await link.wait_closed(20)
    await flow.receiver.wait_for(1)
    await daemon.wait_ready()
    await flow.nothing_is_left()
    assert len(flow.receiver.requests) == 1


async def test_a_slow_way_to_the_broker_only_takes_longer(flow: Flow, proxy: Proxy) -> None:
    flow.receiver.answer("/hook", 500)
    daemon = await flow.start(RABBITMQ_URI=proxy.uri(), **QUICK)
    for name in (CONSUME, PUBLISH):
        (await proxy.link(name)).delay = 0.1
    await flow.publish(*(event(data=number) for number in range(20)))
    await flow.delivered(20)
    assert await daemon.metric("broker_reconnects_total") == 0
    await flow.nothing_is_left()
    assert flow.posts() == [1] * 19 + [2]


async def test_without_its_publish_connection_a_retry_waits_and_is_settled_once(flow: Flow, proxy: Proxy) -> None:
    receiver = flow.receiver
    receiver.answer("/hook", 500)
    daemon = await flow.start(Webhook("well", receiver.url("/well")), RABBITMQ_URI=proxy.uri(), **QUICK)
    proxy.refuse(PUBLISH)
    await daemon.wait_status("/readyz", 503)
    await flow.publish(event())
    await daemon.wait_for_line("publishing failed")
    await flow.publish(event(instance="well"))
    await receiver.wait_for(1, path="/well")
    assert len(receiver.at("/hook")) == 1
    proxy.allow(PUBLISH)
    await receiver.wait_for(2, path="/hook")
    await flow.delivered(2)
    assert await daemon.metric("deliveries_total", outcome="Retried") == 1
    await flow.nothing_is_left()
    assert [request.header("webhook-attempt") for request in receiver.at("/hook")] == ["1", "2"]


async def test_a_publish_whose_confirm_is_lost_is_repeated_and_loses_nothing(flow: Flow, proxy: Proxy) -> None:
    flow.receiver.answer("/hook", 500)
    await flow.start(RABBITMQ_URI=proxy.uri(), **QUICK)
    link = await proxy.link(PUBLISH)
    link.stall(Way.DOWN)
    await flow.publish(event())
    await link.wait_held(Way.DOWN)  # the confirm
    link.reset()
    await flow.receiver.wait_for(3)
    await flow.delivered(2)
    await flow.nothing_is_left()
    assert flow.posts() == [3]

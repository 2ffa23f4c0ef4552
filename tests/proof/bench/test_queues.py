"""The bench's publisher keeps nothing back."""

import asyncio
from asyncio import to_thread
from collections.abc import Callable

import pytest

from tests.proof.bench.queues import Queues
from tests.support.local_broker import LocalBroker
from tests.support.proxy import Proxy, Way

QUEUE, BODY = "bench-kept-back", b"x" * 800
PUBLISHERS: dict[str, Callable[[Queues], object]] = {
    "to a queue": lambda queues: queues.publish(QUEUE, [BODY]),
    "to an exchange": lambda queues: queues.publish_to("", QUEUE, [BODY]),
    "at a pace": lambda queues: queues.pace("", QUEUE, lambda _, __: BODY, rate=100, until=lambda number: number > 0),
}


@pytest.mark.parametrize("publish", PUBLISHERS.values(), ids=PUBLISHERS)
async def test_a_call_returns_when_the_broker_has_read_what_it_published(
    broker: LocalBroker, publish: Callable[[Queues], object]
) -> None:
    async with Proxy(broker.port) as proxy:
        queues = await to_thread(Queues, proxy.uri())
        await to_thread(queues.declare, QUEUE)
        proxy.links[-1].stall(Way.UP)
        publishing = asyncio.create_task(to_thread(publish, queues))
        await proxy.links[-1].wait_held(Way.UP, BODY)
        early, _ = await asyncio.wait({publishing}, timeout=0.5)
        proxy.links[-1].resume(Way.UP)
        await publishing
        await to_thread(queues.wait_depth, QUEUE, 1, 15.0)
        await to_thread(queues.delete, QUEUE)
        await to_thread(queues.close)
        assert not early

"""A publish and the end of its connection."""

import asyncio
from typing import Any, cast

import pytest
from aiormq.channel import Channel

from worker.broker.connection import NOTICE_SECONDS
from worker.broker.publisher import Publisher
from worker.delivery.ports import PublishFailed


class Stuck:
    """A channel as aiormq leaves it when its connection dies while the write queue is full: nobody is woken."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()

    async def basic_publish(self, *_: Any, **__: Any) -> None:
        self.entered.set()
        await asyncio.Event().wait()


async def _nothing(_: object) -> None:
    return None


async def test_no_publish_outlives_its_connection() -> None:
    publisher = Publisher(cast("Any", None), _nothing, lambda _: None)
    stuck = Stuck()
    publisher._channel = cast("Channel", stuck)
    publish = asyncio.create_task(publisher.publish("webhooks.retry.5s", b"{}", {}))
    await stuck.entered.wait()
    publisher.state(False)
    with pytest.raises(PublishFailed, match="the connection was lost"):
        async with asyncio.timeout(NOTICE_SECONDS + 10):
            await publish
    assert publisher.oldest_unconfirmed == 0


async def test_a_publish_that_its_caller_gives_up_is_cancelled_not_failed() -> None:
    publisher = Publisher(cast("Any", None), _nothing, lambda _: None)
    stuck = Stuck()
    publisher._channel = cast("Channel", stuck)
    publish = asyncio.create_task(publisher.publish("webhooks.retry.5s", b"{}", {}))
    await stuck.entered.wait()
    publish.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publish
    publisher.state(False)  # has nothing left to end

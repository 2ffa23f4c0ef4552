"""The sender's tests run on the event loop that the worker runs on; the guard's on asyncio's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.http.sender_support import Pool, pool


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name.startswith("test_egress"):
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def sender() -> AsyncIterator[Pool]:
    """A sender that may reach loopback addresses; after the test it must hold no connection in use."""
    async with pool() as made:
        yield made


@pytest.fixture(params=["in a task", "without one"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[Pool]:
    """As `sender`, both ways."""
    async with pool() as made:
        made.in_tasks = request.param == "in a task"
        yield made


@pytest.fixture
async def warm() -> AsyncIterator[Pool]:
    """For receivers that are `replying`: each POST begins without a task, on a kept connection."""
    async with pool() as made:
        made.warm = True
        yield made
        assert made.begun

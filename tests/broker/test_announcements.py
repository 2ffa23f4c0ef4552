"""Changes told over a connection that is there, on a real broker; and what happens when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractConnection

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.local_process import free_port
from tests.support.proxy import Proxy, Way
from tests.support.waiting import Facts, eventually
from worker.broker import announcements as module
from worker.broker.announcements import Announcer, ChangeListener, KeptConnection, announce_all
from worker.broker.connection import Supervisor, close, connect
from worker.broker.declare import open_channel
from worker.broker.frames import declare_exchange


class Listening:
    """What the replicas hear."""

    def __init__(self, amqp: Amqp, exchange: str) -> None:
        self.amqp = amqp
        self.exchange = exchange
        self.heard: list[tuple[str, int]] = []
        self._facts = Facts()
        self._telling: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        await declare_exchange(await open_channel(self.amqp.connection), self.exchange, "fanout")
        await ChangeListener(self.exchange, self._on_change).listen(self.amqp.connection)

    async def wait_for(self, *changes: tuple[str, int]) -> None:
        await self._facts.wait_for(lambda: self.heard == [*changes], 10, lambda: f"heard {self.heard}")

    def _on_change(self, instance: str, revision: int) -> None:
        self.heard.append((instance, revision))
        self._telling.append(asyncio.ensure_future(self._facts.changed()))


@pytest.fixture
async def listening(amqp: Amqp, names: Names) -> Listening:
    found = Listening(amqp, names.config)
    await found.begin()
    return found


@pytest.fixture
async def proxy(broker: LocalBroker) -> AsyncIterator[Proxy]:
    async with Proxy(broker.port) as proxy:
        yield proxy


async def test_every_change_goes_over_the_connection_that_is_there(
    proxy: Proxy, names: Names, listening: Listening
) -> None:
    connection = await connect(proxy.uri(), "worker publish")
    announcer = Announcer(proxy.uri(), names.config, lambda: connection)
    assert await asyncio.gather(*(announcer.announce("acme", number) for number in range(20))) == [None] * 20
    await listening.wait_for(*(("acme", number) for number in range(20)))
    assert len(proxy.links) == 1
    await close(connection)


async def test_a_channel_that_the_broker_closed_is_opened_again_and_the_connection_stays(
    broker: LocalBroker, names: Names, listening: Listening
) -> None:
    connection = await connect(broker.uri, "worker publish")
    deliveries = await open_channel(connection, confirms=True)
    announcer = Announcer(broker.uri, names.config, lambda: connection)
    channel = await open_channel(listening.amqp.connection)
    await channel.exchange_delete(names.config)
    assert await announcer.announce("acme", 1) is None, "without an exchange there is nobody to tell"
    await listening.begin()
    assert await announcer.announce("acme", 2) is None
    await listening.wait_for(("acme", 2))
    assert not deliveries.is_closed
    await close(connection)


async def test_while_the_connection_is_away_or_hangs_another_is_made(
    proxy: Proxy, names: Names, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_SECONDS", 0.2)
    connection = await connect(proxy.uri(), "worker publish")
    (await proxy.link("publish")).stall(Way.UP)
    assert await Announcer(proxy.uri(), names.config, lambda: connection).announce("acme", 1) is None
    assert await Announcer(proxy.uri(), names.config, lambda: None).announce("acme", 2) is None
    await listening.wait_for(("acme", 1), ("acme", 2))
    proxy.refuse("publish")
    assert await Announcer(proxy.uri(), names.config, lambda: connection).announce("acme", 3) is None
    await listening.wait_for(("acme", 1), ("acme", 2), ("acme", 3))
    await close(connection)


async def test_without_a_broker_the_problem_comes_back(names: Names) -> None:
    uri = f"amqp://guest:hunter2@127.0.0.1:{free_port()}/"
    problem = await Announcer(uri, names.config, lambda: None).announce("acme", 1)
    assert problem is not None
    assert "hunter2" not in problem


async def test_a_broker_that_does_not_answer_is_given_up(
    proxy: Proxy, names: Names, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a memory alarm: a confirm that does not come must not hold up a command or an answer for ever."""
    monkeypatch.setattr(module, "OWN_SECONDS", 0.5)
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.1)
    telling = asyncio.create_task(announce_all(proxy.uri(), names.config, [("acme", 1)]))
    (await proxy.link("command")).stall(Way.DOWN)
    assert await asyncio.wait_for(telling, 10) == "RabbitMQ did not take it within 0.5 s"


async def test_a_kept_connection_comes_back_when_it_is_lost(proxy: Proxy) -> None:
    kept = KeptConnection()

    async def current() -> AbstractConnection | None:
        return kept.current

    running = asyncio.create_task(Supervisor(proxy.uri(), "worker api", kept, lambda low, high: low).run())
    first = await eventually(current, lambda now: now is not None, 10, "a connection")
    (await proxy.link("worker api")).reset()
    await eventually(current, lambda now: now not in (None, first), 10, "another connection")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert kept.current is None

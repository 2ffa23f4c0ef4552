"""The supervisor, with a client and a connection that do what the test says."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiormq
import pytest

from tests.support.receiver import HostileReceiver
from tests.support.waiting import Facts
from worker.broker import connection as module
from worker.broker.connection import (
    BROKER_ERRORS,
    Supervisor,
    TopologyMismatch,
    as_broker_errors,
    connect,
    in_words,
    while_open,
)


class Connection:
    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class ScriptedClient:
    """Each `opened` and `broken` does the next thing of its script: an exception is raised, None returns."""

    def __init__(self, opened: list[BaseException | None], broken: list[BaseException | None]) -> None:
        self._opened, self._broken = opened, broken
        self.states: list[bool] = []
        self.connections: list[Any] = []
        self.facts = Facts()

    async def opened(self, connection: Any) -> None:
        self.connections.append(connection)
        await self._next(self._opened)

    async def broken(self) -> None:
        await self._next(self._broken)

    def state(self, connected: bool) -> None:
        self.states.append(connected)

    async def wait_for_connections(self, count: int) -> None:
        await self.facts.wait_for(lambda: len(self.connections) >= count, 5, lambda: f"{len(self.connections)}")

    async def _next(self, script: list[BaseException | None]) -> None:
        await self.facts.changed()
        if not script:
            await asyncio.Event().wait()
        error = script.pop(0)
        if error is not None:
            raise error


@pytest.fixture
async def run(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Supervises a client with connections that cost nothing and waits that take no time."""
    tasks: list[asyncio.Task[None]] = []

    async def connect(_uri: str, _name: str, *, cuts: bool) -> Connection:
        return Connection()

    monkeypatch.setattr(module, "connect", connect)
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.001)

    def start(
        client: ScriptedClient, uniform: Callable[[float, float], float] = lambda low, high: low
    ) -> asyncio.Task[None]:
        supervisor = Supervisor("amqp://host/", "test", client, uniform)
        tasks.append(asyncio.create_task(supervisor.run()))
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    "error",
    [
        None,
        asyncio.CancelledError(),  # aiormq's answer to what waits on a connection that stalled
        Exception(),  # and on one that ended between two frames
        aiormq.exceptions.AMQPConnectionError("gone"),
        ConnectionResetError(),
        RuntimeError("closed"),
    ],
    ids=repr,
)
async def test_whatever_a_dying_connection_raises_another_is_made(run: Any, error: BaseException | None) -> None:
    client = ScriptedClient(opened=[None, None], broken=[error])
    task = run(client)
    await client.wait_for_connections(2)
    assert not task.done()
    assert client.states[:2] == [True, False]
    assert client.connections[0].closed


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), Exception(), TopologyMismatch("other arguments"), TimeoutError()], ids=repr
)
async def test_a_set_up_that_fails_is_tried_again_on_a_new_connection(run: Any, error: BaseException) -> None:
    client = ScriptedClient(opened=[error, None], broken=[])
    task = run(client)
    await client.wait_for_connections(2)
    assert not task.done()
    assert client.connections[0].closed
    assert client.states in ([], [True])


async def test_replicas_do_not_return_in_step(run: Any) -> None:
    waits: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        waits.append((low, high))
        return low

    client = ScriptedClient(opened=[None, None, None], broken=[None, None])
    run(client, uniform)
    await client.wait_for_connections(3)
    assert waits == [(0, module.FIRST_WAIT_SECONDS)] * 2


async def test_a_fault_of_ours_is_not_taken_for_the_brokers(run: Any) -> None:
    client = ScriptedClient(opened=[KeyError("ours")], broken=[])
    with pytest.raises(KeyError):
        await run(client)
    assert client.connections[0].closed


async def test_a_cancelled_supervisor_ends_and_closes_its_connection(run: Any) -> None:
    client = ScriptedClient(opened=[None], broken=[])
    task = run(client)
    await client.wait_for_connections(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.connections[0].closed


async def test_our_own_cancellation_and_deadlines_stay_what_they_are() -> None:
    async def hang() -> None:
        with as_broker_errors():
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(hang(), 0.01)


def test_an_error_without_words_is_named() -> None:
    assert in_words(TimeoutError()) == "TimeoutError"
    assert in_words(OSError("no route")) == "no route"


@pytest.mark.parametrize("said_before", [b"", b"\x01\x00\x00", b"\x01\x00\x00\x00\x00\x00\x40half of a frame"])
async def test_a_server_that_hangs_up_in_the_handshake_is_a_broker_that_is_away(said_before: bytes) -> None:
    """A load balancer accepts and closes while the broker behind it is down: aiormq raises what no broker error is."""

    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(said_before)
        await writer.drain()

    async with HostileReceiver(hangs_up) as server:
        with pytest.raises(BROKER_ERRORS):
            await connect(f"amqp://guest:guest@127.0.0.1:{server.port}/", "test")


@pytest.mark.parametrize("cuts", [False, True])
async def test_one_that_failed_to_open_is_collected_in_any_thread_without_a_word(cuts: bool) -> None:
    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)

    async with HostileReceiver(hangs_up) as server:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", RuntimeWarning)
            gc.disable()
            try:
                with pytest.raises(BROKER_ERRORS):
                    await connect(f"amqp://guest:guest@127.0.0.1:{server.port}/", "test", cuts=cuts)
                await asyncio.to_thread(gc.collect)
            finally:
                gc.enable()
    assert [str(warning.message) for warning in said] == []


class Lossy:
    """A connection whose loss only its `closing` tells of."""

    def __init__(self) -> None:
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport = self.connection = self


async def test_work_that_hangs_on_a_lost_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `dead redrive` that was cut off in the middle of its publishes waited in aiormq for ever."""
    monkeypatch.setattr(module, "NOTICE_SECONDS", 0.0)
    connection: Any = Lossy()
    connection.closing.set_result(None)
    with pytest.raises(ConnectionError):
        await while_open(connection, asyncio.Event().wait())


async def test_work_that_notices_the_loss_says_what_it_was() -> None:
    connection: Any = Lossy()

    async def notices() -> None:
        await connection.closing
        raise aiormq.exceptions.ChannelInvalidStateError("closed")

    connection.closing.set_result(None)
    with pytest.raises(aiormq.exceptions.ChannelInvalidStateError):
        await while_open(connection, notices())


async def test_work_on_a_connection_that_holds_has_its_result() -> None:
    connection: Any = Lossy()
    assert await while_open(connection, asyncio.sleep(0, "done")) == "done"

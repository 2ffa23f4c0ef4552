"""A virtual host, user or hosted plan at a limit: told as one, with what the worker needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.conftest import StartWorker
from tests.support.local_broker import LocalBroker

Limits = Callable[[str], Awaitable[None]]


@pytest.fixture(scope="module")
def broker() -> Iterator[LocalBroker]:
    with LocalBroker() as broker:
        yield broker


@pytest.fixture
async def limits(broker: LocalBroker) -> AsyncIterator[Limits]:
    async def put(text: str) -> None:
        await asyncio.to_thread(broker.ctl, "set_vhost_limits", "-p", "/", text)

    yield put
    await asyncio.to_thread(broker.ctl, "clear_vhost_limits", "-p", "/")


async def output_of(worker: StartWorker, *arguments: str) -> tuple[int, str]:
    command = await worker(arguments=arguments, ready=False)
    return await command.wait(), command.output()


async def test_check_and_doctor_say_how_many_queues_are_needed_and_leave_nothing(
    worker: StartWorker, broker: LocalBroker, limits: Limits
) -> None:
    await limits('{"max-queues":5}')
    for command in ("check", "doctor"):
        code, output = await output_of(worker, command)
        assert code == 1
        assert "queue limit in vhost '/' (5) is reached" in output
        assert "the worker needs 13 queues" in output
        assert "delete it when it is empty" not in output.lower()
    assert not (await asyncio.to_thread(broker.ctl, "list_queues", "name")).strip().removeprefix("name")
    await limits('{"max-queues":13}')
    code, output = await output_of(worker, "check")
    assert code == 0, output


async def test_run_says_it_too_and_starts_once_there_is_room(worker: StartWorker, limits: Limits) -> None:
    await limits('{"max-queues":5}')
    daemon = await worker(ready=False)
    line = await daemon.wait_for_line("cannot work with RabbitMQ")
    assert "queue limit in vhost '/' (5) is reached" in line
    assert "the worker needs 13 queues" in line
    assert "Delete it when it is empty" not in line
    await limits('{"max-queues":12}')
    await daemon.wait_ready()
    await daemon.wait_for_line("changes of webhooks cannot be heard")
    await daemon.wait_for_line("refuses the queue", "history")  # it comes last, and deliveries go on without it


async def test_a_limit_of_connections_is_no_missing_virtual_host(worker: StartWorker, limits: Limits) -> None:
    await limits('{"max-connections":0}')
    code, output = await output_of(worker, "check")
    assert code == 1
    assert "connection limit (0) is reached" in output
    assert "Each replica needs 4 connections (5 with ORDER)" in output
    assert "does not exist" not in output


async def test_a_users_limit_is_told_alike(worker: StartWorker, broker: LocalBroker) -> None:
    await asyncio.to_thread(broker.ctl, "set_user_limits", "guest", '{"max-connections":0}')
    try:
        code, output = await output_of(worker, "check")
    finally:
        await asyncio.to_thread(broker.ctl, "clear_user_limits", "guest", "all")
    assert code == 1
    assert "Each replica needs 4 connections (5 with ORDER)" in output

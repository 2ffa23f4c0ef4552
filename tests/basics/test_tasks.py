"""Tasks end when they are told to, also those that swallow a cancellation."""

import asyncio

import pytest

from worker.basics import tasks as module
from worker.basics.tasks import Tasks, end


async def stubborn(times: int, swallowed: list[int]) -> None:
    """Takes so many cancellations for somebody else's, as aiormq can."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if len(swallowed) == times:
                raise
            swallowed.append(1)


async def test_a_swallowed_cancellation_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INSIST_SECONDS", 0.01)
    swallowed: list[int] = []
    task = asyncio.create_task(stubborn(2, swallowed))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(task)
    assert task.cancelled()
    assert len(swallowed) == 2


async def test_all_of_them_are_ended_whatever_they_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INSIST_SECONDS", 0.01)

    async def raises() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("on the way out")

    faults: list[BaseException] = []
    running = Tasks()
    running.start(raises(), faults.append)
    running.start(stubborn(1, []))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await running.end()
    assert len(running) == 0
    assert [str(fault) for fault in faults] == ["on the way out"]


async def test_nothing_to_end() -> None:
    await end()
    await Tasks().end()

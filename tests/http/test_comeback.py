"""Many wait for a receiver that refuses connections, one of them tries."""

from __future__ import annotations

import asyncio
import errno
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from tests.support.waiting import eventually
from worker.http.comeback import Comeback

ORIGIN: Any = SimpleNamespace(key="receiver:80")
FAR = 1e9


def refusal() -> aiohttp.ClientConnectorError:
    key: Any = SimpleNamespace(host="receiver", port=80, ssl=True)
    return aiohttp.ClientConnectorError(key, OSError(errno.ECONNREFUSED, "refused"))


class Receiver:
    """Refuses until it `listens`, with `error`, and counts. The connect of number `hangs` never ends."""

    def __init__(self) -> None:
        self.listens = False
        self.error: Exception | None = None
        self.connects = 0
        self.refusals = 0
        self.hangs = 0
        self.room = 10**6
        self.comeback = Comeback(self.connect, jitter=0.2)

    async def connect(self, origin: Any, deadline: float) -> Any:
        self.connects += 1
        number = self.connects
        if number == self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        if not self.listens or self.room == 0:
            self.refusals += 1
            raise self.error or refusal()
        self.room -= 1
        return f"connection {number}"

    async def tried(self, times: int) -> None:
        async def count() -> int:
            return self.connects

        await eventually(count, lambda connects: connects >= times, 10, "connects")

    def wait(self, seconds: float = 5.0, mine: OSError | None = None) -> asyncio.Task[Any]:
        return asyncio.create_task(self.comeback.connection(ORIGIN, seconds, FAR, mine or refusal()))


async def test_of_a_hundred_who_wait_one_tries_and_all_are_connected_when_it_listens() -> None:
    receiver = Receiver()
    waiting = [receiver.wait() for _ in range(100)]

    async def refusals() -> int:
        return receiver.refusals

    await eventually(refusals, lambda count: count >= 3, 10, "the third refusal")
    assert receiver.connects == 3
    receiver.listens = True
    assert len(set(await asyncio.gather(*waiting))) == 100
    assert receiver.connects == 103


async def test_who_waits_in_vain_is_told_his_own_refusal() -> None:
    receiver, mine = Receiver(), refusal()
    leading = receiver.wait()
    await receiver.tried(1)
    with pytest.raises(aiohttp.ClientConnectorError) as told:
        await receiver.wait(0.3, mine)
    assert told.value is mine
    leading.cancel()


async def test_who_comes_right_after_a_refusal_need_not_hear_it_himself() -> None:
    receiver = Receiver()
    assert receiver.comeback.refusal(ORIGIN) is None
    with pytest.raises(aiohttp.ClientConnectorError) as first:
        await receiver.comeback.tried(ORIGIN, FAR)
    told = receiver.comeback.refusal(ORIGIN)
    assert str(told) == str(first.value)
    assert told is not first.value, "one that many raise would collect the frames of all"

    async def remembered() -> object:
        return receiver.comeback.refusal(ORIGIN)

    await eventually(remembered, lambda refused: refused is None, 5, "the end of the first wait")


async def test_a_connect_that_succeeds_ends_the_memory_of_a_refusal() -> None:
    receiver = Receiver()
    with pytest.raises(aiohttp.ClientConnectorError):
        await receiver.comeback.tried(ORIGIN, FAR)
    receiver.listens = True
    await receiver.comeback.tried(ORIGIN, FAR)
    assert receiver.comeback.refusal(ORIGIN) is None


async def test_when_the_one_who_tries_is_cancelled_another_goes_on() -> None:
    receiver = Receiver()
    first, second = receiver.wait(), receiver.wait()
    await receiver.tried(1)
    first.cancel()
    receiver.listens = True
    assert await second


async def test_another_fault_than_a_refusal_is_not_waited_out() -> None:
    receiver = Receiver()
    receiver.error = ValueError("not a matter of time")
    for waiting in (receiver.wait(), receiver.wait()):
        with pytest.raises(ValueError, match="not a matter of time"):
            await waiting
    assert receiver.connects == 2


async def test_a_receiver_that_has_room_for_a_few_is_not_asked_by_all() -> None:
    receiver = Receiver()
    receiver.listens, receiver.room = True, 3
    waiting = [receiver.wait(0.6) for _ in range(200)]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) == 3
    assert receiver.connects < 30


async def test_a_connect_that_hangs_keeps_nobody_else_from_trying() -> None:
    receiver = Receiver()
    receiver.hangs, receiver.listens = 1, True
    hanging, *others = (receiver.wait(5) for _ in range(5))
    assert len(set(await asyncio.gather(*others))) == 4
    hanging.cancel()


async def test_the_patience_ends_with_the_deadline_of_the_attempt() -> None:
    receiver = Receiver()
    leading = receiver.wait()
    await receiver.tried(1)
    loop = asyncio.get_running_loop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await receiver.comeback.connection(ORIGIN, 60, loop.time() + 0.2, refusal())
    leading.cancel()

"""Many wait for a receiver that refuses connections, one of them tries; when it is down for longer, nobody waits."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from tests.support.waiting import until
from worker.http import refused_connects
from worker.http.refused_connects import RefusedConnects

ORIGIN: Any = SimpleNamespace(key="receiver:80")
OTHER: Any = SimpleNamespace(key="other:80")
FAR = 1e9


@pytest.fixture(autouse=True)
def nobody_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes longer to start 200 attempts than a refused connect is fresh."""
    monkeypatch.setattr(refused_connects, "FRESH_SECONDS", 1.5)


class Receiver:
    """Refuses until it `listens`, with `error`, and counts. The connects numbered `hangs` wait for `hanging`."""

    def __init__(self, patience: float = 60.0, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self.listens = False
        self.error: Exception | None = None
        self.connects = 0
        self.refusals = 0
        self.hangs: set[int] = set()
        self.hanging = asyncio.Event()
        self.room = 10**6
        self.shared = RefusedConnects(self.connect, 0.2, patience, uniform)

    async def connect(self, origin: Any, deadline: float) -> Any:
        self.connects += 1
        number = self.connects
        if number in self.hangs:
            await self.hanging.wait()
        await asyncio.sleep(0)
        if not self.listens or self.room == 0:
            self.refusals += 1
            raise self.error or refusal()
        self.room -= 1
        return f"connection {number}"

    def wait(self, deadline: float = FAR) -> asyncio.Task[Any]:
        return asyncio.create_task(self.shared.connection(ORIGIN, deadline))

    async def leading(self) -> asyncio.Task[Any]:
        """One who has been refused and tries again for all who come now."""
        leader = self.wait()
        await self.refused(1)
        return leader

    async def tried(self, times: int) -> None:
        await until(lambda: self.connects >= times, f"{times} connects")

    async def refused(self, times: int) -> None:
        await until(lambda: self.refusals >= times, f"{times} refusals")

    async def forgotten(self) -> None:
        await until(lambda: len(self.shared) == 0, "nothing is kept of the receiver")


async def ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def refusal() -> aiohttp.ClientConnectorError:
    key: Any = SimpleNamespace(host="receiver", port=80, ssl=True)
    return aiohttp.ClientConnectorError(key, OSError(errno.ECONNREFUSED, "refused"))


async def test_of_a_hundred_who_wait_one_tries_and_all_are_connected_when_it_listens() -> None:
    receiver = Receiver()
    waiting = [await receiver.leading(), *(receiver.wait() for _ in range(99))]
    await receiver.refused(3)
    assert receiver.connects == 3
    receiver.listens = True
    assert len(set(await asyncio.gather(*waiting))) == 100
    assert receiver.connects == 103
    assert len(receiver.shared) == 0


async def test_who_waits_in_vain_is_told_a_refusal_of_his_own() -> None:
    receiver = Receiver(patience=0.3)
    waiting = [await receiver.leading(), *(receiver.wait() for _ in range(9))]
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert {str(error) for error in told} == {str(refusal())}
    assert len({id(error) for error in told}) == 10, "one that many raise would collect the frames of all"


async def test_not_all_who_wait_in_vain_give_up_at_the_same_moment() -> None:
    receiver = Receiver(patience=0.5)
    waiting = [await receiver.leading(), *(receiver.wait() for _ in range(49))]
    _, still = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert len(still) > 25
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_restart_within_the_patience_fails_nobody_however_many_come() -> None:
    receiver = Receiver(patience=30)
    receiver.shared.answered(OTHER)

    async def lane() -> None:
        while not receiver.listens:
            await receiver.shared.connection(ORIGIN, FAR)

    lanes = [asyncio.create_task(lane()) for _ in range(20)]
    await receiver.refused(4)
    receiver.listens = True
    await asyncio.gather(*lanes)
    assert receiver.connects < 60


async def test_a_receiver_that_is_down_for_longer_holds_nobody_who_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver(patience=0.5)
    leading = await receiver.leading()
    receiver.shared.answered(OTHER)
    with pytest.raises(aiohttp.ClientConnectorError):
        await leading
    loop = asyncio.get_running_loop()
    stopped = loop.time()
    # A busy machine takes longer than the patience for what follows; then it would be waited for again.
    monkeypatch.setattr(loop, "time", lambda: stopped)
    connects = receiver.connects
    for _ in range(100):
        with pytest.raises(aiohttp.ClientConnectorError):
            await receiver.wait()
    monkeypatch.undo()
    assert receiver.connects <= connects + 2, "they wait, or each of them asks although others were just refused"


async def test_while_nobody_answers_each_waits_anew_because_the_fault_may_be_ours() -> None:
    receiver = Receiver(patience=1.5)
    receiver.shared.answered(OTHER)
    with pytest.raises(aiohttp.ClientConnectorError):
        await receiver.wait()
    later = receiver.wait()
    await receiver.refused(receiver.refusals + 2)
    receiver.listens = True
    assert await later


async def test_after_a_while_without_a_refusal_it_is_waited_for_again() -> None:
    receiver = Receiver(patience=1.0)
    with pytest.raises(aiohttp.ClientConnectorError):
        await receiver.wait()
    await receiver.forgotten()
    later = await receiver.leading()
    receiver.listens = True
    assert await later


async def test_one_who_is_let_in_ends_what_is_remembered_of_a_refusal() -> None:
    receiver = Receiver()
    receiver.hangs = {2}
    refused, let_in = receiver.wait(), receiver.wait()
    await receiver.refused(1)
    await ended(refused)
    receiver.listens = True
    receiver.hanging.set()
    assert await let_in
    later = receiver.wait()
    await asyncio.sleep(0)
    assert receiver.connects == 3, "he waits, because of a refusal before that"
    assert await later


async def test_so_does_an_answer_on_a_connection_that_was_kept() -> None:
    receiver = Receiver()
    await ended(await receiver.leading())
    receiver.shared.answered(ORIGIN)
    assert len(receiver.shared) == 0


async def test_one_who_comes_later_and_is_let_in_calls_those_who_wait() -> None:
    receiver = Receiver()
    receiver.hangs = {2}
    hanging = receiver.wait()
    await receiver.refused(1)
    waiting = [receiver.wait() for _ in range(4)]
    await receiver.tried(2)
    receiver.listens = True
    receiver.shared.answered(ORIGIN)  # he need not wait
    assert await receiver.wait()
    async with asyncio.timeout(5):
        assert len(set(await asyncio.gather(*waiting))) == 4
    await ended(hanging)


async def test_who_was_not_called_in_time_tries_himself_when_others_were_let_in() -> None:
    receiver = Receiver(patience=0.4)
    receiver.hangs = {2}
    hanging = receiver.wait()
    await receiver.refused(1)
    waiting = receiver.wait()
    await receiver.tried(2)
    receiver.listens = True
    receiver.shared.answered(ORIGIN)
    assert await waiting
    await ended(hanging)


async def test_when_the_one_who_tries_is_cancelled_another_goes_on() -> None:
    receiver = Receiver()
    first, second = await receiver.leading(), receiver.wait()
    await receiver.refused(2)
    await ended(first)
    receiver.listens = True
    assert await second


async def test_another_fault_than_a_refusal_is_not_waited_out() -> None:
    receiver = Receiver()
    waiting = [await receiver.leading(), receiver.wait()]
    receiver.error = ValueError("not a matter of time")
    for each in waiting:
        with pytest.raises(ValueError, match="not a matter of time"):
            await each
    assert receiver.connects == 3


async def test_a_receiver_that_has_room_for_a_few_is_not_asked_by_all() -> None:
    receiver = Receiver(patience=0.6, uniform=lambda low, _: low)
    waiting = [await receiver.leading(), *(receiver.wait() for _ in range(199))]
    receiver.listens, receiver.room = True, 3
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) == 3
    assert receiver.connects < 30


async def test_a_connect_that_hangs_keeps_nobody_else_from_trying() -> None:
    receiver = Receiver()
    hanging = await receiver.leading()
    others = [receiver.wait() for _ in range(4)]
    receiver.hangs, receiver.listens = {2}, True
    assert len(set(await asyncio.gather(*others))) == 4
    await ended(hanging)


async def test_when_the_one_who_was_called_hangs_too_the_next_one_tries() -> None:
    receiver = Receiver(patience=10)
    waiting = [await receiver.leading(), *(receiver.wait() for _ in range(3))]
    receiver.hangs = {2, 3}
    receiver.listens = True
    done, still = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    receiver.hanging.set()
    await asyncio.gather(*still)
    assert len(done) < 3


async def test_the_patience_ends_before_the_deadline_of_the_attempt() -> None:
    receiver = Receiver()
    leading = await receiver.leading()
    now = asyncio.get_running_loop().time
    deadline = now() + 0.6
    with pytest.raises(aiohttp.ClientConnectorError):
        await receiver.wait(deadline)
    assert now() < deadline
    await ended(leading)

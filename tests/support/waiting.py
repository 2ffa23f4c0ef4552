"""Waiting for a fact with a deadline: no test sleeps and hopes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Facts:
    """Wakes those who wait whenever something has happened; they look again whether it is their fact."""

    def __init__(self) -> None:
        self._condition = asyncio.Condition()

    async def changed(self) -> None:
        async with self._condition:
            self._condition.notify_all()

    async def wait_for(self, fact: Callable[[], bool], timeout: float, explain: Callable[[], str]) -> None:
        """Raises AssertionError with what `explain` says when `fact` is not true within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout), self._condition:
                await self._condition.wait_for(fact)
        except TimeoutError:
            raise AssertionError(f"not within {timeout} s: {explain()}") from None


async def eventually(ask: Callable[[], Awaitable[T]], wanted: Callable[[T], bool], timeout: float, what: str) -> T:
    """For facts that can only be asked for (a queue's depth, an HTTP answer): asks every 20 ms until wanted.

    Returns that answer; AssertionError naming the last one after `timeout` seconds.
    """
    answer = await ask()
    try:
        async with asyncio.timeout(timeout):
            while not wanted(answer):
                await asyncio.sleep(0.02)
                answer = await ask()
    except TimeoutError:
        raise AssertionError(f"{what}: not within {timeout} s, last {answer!r}") from None
    return answer


async def until(fact: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
    """The same for what this process sees for itself."""

    async def ask() -> bool:
        return fact()

    await eventually(ask, bool, timeout, what)

"""Whether a sender takes events yet: an event for a webhook of the kit's own, until one arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.proof.conformance.stage import Broken, Hook
from tests.support.events import event
from tests.support.receiver import Receiver

START_SECONDS = 60.0
AGAIN_SECONDS = 0.25


class NoStart(Broken):
    """The sender does not deliver at all."""


class Probe:
    """`path` keeps its POSTs apart from the checks'."""

    def __init__(self, publish: Callable[[bytes], Awaitable[None]], receiver: Receiver, tag: str) -> None:
        self._publish = publish
        self._receiver = receiver
        self._instance = f"{tag}probe"

    @property
    def hook(self) -> Hook:
        return Hook(self._instance, self._receiver.url("/probe"))

    async def delivered(self, alive: Callable[[], Awaitable[str | None]]) -> None:
        """Until an event published from now on arrives. `alive` says why the sender has ended. Raises NoStart."""
        came = len(self._receiver.requests)
        try:
            async with asyncio.timeout(START_SECONDS):
                while len(self._receiver.requests) == came:
                    if (ended := await alive()) is not None:
                        raise NoStart(ended)
                    await self._publish(event(instance=self._instance))
                    await asyncio.sleep(AGAIN_SECONDS)
        except TimeoutError:
            raise NoStart(f"no event arrived within {START_SECONDS:g} s of its start") from None

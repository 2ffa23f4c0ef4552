"""Who is subscribed, who gets how much, and how each receiver behaves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.support.receiver import Answer, Received, Receiver
from worker.domain.webhook import DEFAULT_ID


@dataclass(frozen=True, slots=True)
class Instance:
    """`weight`: its part of the steady flow."""

    name: str
    weight: float


INSTANCES = (
    Instance("loja-1", 25),
    Instance("loja-2", 25),
    Instance("loja-3", 20),
    Instance("slow", 6),
    Instance("flaky", 8),
    Instance("down", 8),
    Instance("strict", 4),
    Instance("hangs", 2),
    Instance("closed", 0.7),
    Instance("gone", 1),
    Instance("nobody", 3),
)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One webhook; without `listens` nobody does at its address."""

    instance: str
    path: str
    id: str = DEFAULT_ID
    events: frozenset[str] = frozenset()
    listens: bool = True


MESSAGES = frozenset({"MESSAGES_UPSERT"})
NO_PRESENCE = frozenset({"MESSAGES_UPSERT", "CONTACTS_UPDATE"})
CAST = (
    Subscription("loja-1", "/loja-1", events=NO_PRESENCE),
    Subscription("loja-1", "/audit", id="audit", events=MESSAGES),
    Subscription("loja-2", "/loja-2", events=NO_PRESENCE),
    Subscription("loja-3", "/loja-3", events=NO_PRESENCE),
    Subscription("slow", "/slow"),
    Subscription("flaky", "/flaky"),
    Subscription("down", "/down"),
    Subscription("strict", "/strict"),
    Subscription("hangs", "/hangs"),
    Subscription("closed", "/", listens=False),
    Subscription("gone", "/gone"),
)


class Receivers(Receiver):
    """All of them on one port. `down` makes one of them fail; `delivered` counts what was answered with 200."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.delivered = 0
        self._counts: dict[str, int] = {}

    async def _decide(self, received: Received) -> Answer:
        self.requests.clear()
        number = self._counts[received.path] = self._counts.get(received.path, 0) + 1
        status = await self._status(received.path, number)
        self.delivered += status == 200
        return Answer(status)

    async def _status(self, path: str, number: int) -> int:
        match path:
            case "/loja-1" | "/loja-2" | "/loja-3":
                await asyncio.sleep(0.1)
            case "/slow":
                await asyncio.sleep(0.6)
            case "/flaky" if number % 4 == 0:
                return 500
            case "/down" if self.down:
                return 503
            case "/strict" if number % 5 == 0:
                return 404
            case "/hangs" if number % 3 == 0:
                await asyncio.sleep(3)  # longer than the worker waits
            case "/gone":
                return 410
        return 200

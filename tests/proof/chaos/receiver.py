"""The receiver of all webhooks: enters every POST into the ledger, and answers as its subscription behaves."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.proof.chaos.ledger import Ledger, Post
from tests.proof.chaos.subscriptions import SLOW_SECONDS, Behaviour, steady
from tests.support.receiver import Answer, Received, Receiver
from tests.support.waiting import Facts


class LedgerReceiver(Receiver):
    """`hold(path)` keeps the answers of one path back until `release`."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger: Ledger | None = None
        self.behaviours: dict[str, Behaviour] = {}
        self.arrivals = Facts()
        self._answered: Counter[str | None] = Counter()
        self._held: dict[str, asyncio.Event] = {}

    def hold(self, path: str) -> None:
        self._held[path] = asyncio.Event()

    def release(self, path: str) -> None:
        self._held.pop(path).set()

    async def _decide(self, received: Received) -> Answer:
        assert self.ledger is not None, "nothing may come before there is a ledger"
        self.requests.clear()  # the ledger has them
        post = _entry(received)
        self.ledger.posts.append(post)
        await self.arrivals.changed()
        if received.path in self._held:
            await self._held[received.path].wait()
        if received.path == "/slow":
            await asyncio.sleep(SLOW_SECONDS)
        answer = self._behaviour(received.path)(post.number or 0, self._answered[post.id])
        self._answered[post.id] += 1
        post.status, post.answered = answer.status, asyncio.get_running_loop().time()
        await self.arrivals.changed()
        return answer

    def _behaviour(self, path: str) -> Behaviour:
        found = (behaviour for base, behaviour in self.behaviours.items() if path.startswith(base))
        return next(found, steady)


def _entry(received: Received) -> Post:
    header = received.header
    return Post(received.path, header("webhook-id"), header("webhook-attempt"), received.body, at=received.at)

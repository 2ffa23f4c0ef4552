"""The arrangement that fault tests share: acme's webhook, a worker, a receiver, and what may be left at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tests.e2e.leftovers import assert_nothing_is_left, posts_by_id
from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.receiver import Receiver
from tests.support.worker import PROGRAM, Worker
from worker.domain.webhook import Webhook


@dataclass
class Flow:
    """An event's whole way, from the exchange to the receiver. `daemon` is there once it was started."""

    broker: LocalBroker
    amqp: Amqp
    names: Names
    receiver: Receiver
    start_worker: Callable[..., Awaitable[Worker]]
    put_webhooks: Callable[..., Awaitable[None]]
    daemon: Worker = field(init=False)

    async def start(
        self, *more: Webhook, ready: bool = True, program: Sequence[str] = PROGRAM, **settings: str
    ) -> Worker:
        """A worker for acme's webhook at the receiver's /hook and for `more`."""
        await self.put_webhooks(Webhook("acme", self.receiver.url("/hook")), *more)
        self.daemon = await self.start_worker(ready=ready, program=program, **settings)
        return self.daemon

    async def kill_and_start(self) -> None:
        """SIGKILL, and the same worker again, ready."""
        await self.daemon.kill()
        await self.daemon.start()

    async def publish(self, *bodies: bytes) -> None:
        """On the test's exchange, as Evolution does."""
        for body in bodies:
            await self.amqp.publish_event(self.names.exchange, "messages.upsert", body)

    async def delivered(self, count: int) -> None:
        """Until the worker that runs now says that it has delivered so many."""
        await self.daemon.wait_metric("deliveries_total", count, outcome="Delivered")

    async def nothing_is_left(self, *, dead: int = 0) -> None:
        """The worker ends cleanly, and all queues are empty but for `dead` dead letters."""
        await assert_nothing_is_left(self.daemon, self.broker, self.names, dead=dead)

    def posts(self) -> list[int]:
        """How often each delivery was POSTed, in ascending order."""
        return sorted(posts_by_id(self.receiver).values())

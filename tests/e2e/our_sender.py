"""This worker as the conformance kit sees a sender: the same checks, with its inside in reach."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from tests.proof.conformance.stage import Hook
from tests.support.worker import Worker
from worker.domain.webhook import Webhook


class OurSender:
    """`daemon` is the worker that was started last."""

    restarts = True

    def __init__(
        self, start_worker: Callable[..., Awaitable[Worker]], put_webhooks: Callable[..., Awaitable[None]]
    ) -> None:
        self._start_worker = start_worker
        self._put_webhooks = put_webhooks
        self._settings: Mapping[str, str] = {}
        self.daemon: Worker

    async def tell(self, hooks: Sequence[Hook]) -> None:
        await self._put_webhooks(*(Webhook(hook.instance, hook.url, id=hook.id, **hook.more) for hook in hooks))

    async def start(self, settings: Mapping[str, str]) -> None:
        self._settings = settings or self._settings
        self.daemon = await self._start_worker(**self._settings)

    async def stop(self) -> None:
        assert await self.daemon.stop() == 0

    async def kill(self) -> None:
        await self.daemon.kill()

    def counts(self, name: str, value: float, timeout: float = 15.0, **labels: str) -> Callable[..., Awaitable[None]]:
        """For a moment of a check: until the daemon's metric is at least `value`."""

        async def wait(*_: object) -> None:
            await self.daemon.wait_metric(name, value, timeout, **labels)

        return wait

    def delivered(self, count: int) -> Callable[..., Awaitable[None]]:
        return self.counts("deliveries_total", count, outcome="Delivered")

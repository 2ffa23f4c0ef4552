"""What a running API tells the rest of the worker, written down: for its own tests and the console's."""

import asyncio
from dataclasses import dataclass, field

from worker.domain.webhook import Webhook
from worker.domain.webhook_test import WebhookTest


@dataclass(kw_only=True)
class Told:
    """`trial` is what a test delivery comes back with."""

    changes: list[tuple[str, int]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    sent: list[tuple[Webhook, bytes]] = field(default_factory=list)
    trial: WebhookTest = field(default_factory=lambda: WebhookTest(200, 12.34, b"thanks"))

    async def changed(self, instance: str, revision: int) -> None:
        self.changes.append((instance, revision))

    async def send_test(self, webhook: Webhook, event: bytes) -> WebhookTest:
        self.sent.append((webhook, event))
        return self.trial

    async def sleep(self, seconds: float) -> None:
        """A turn of the loop, whatever was asked for."""
        self.slept.append(seconds)
        await asyncio.sleep(0)

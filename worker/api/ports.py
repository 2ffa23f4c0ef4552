"""What the API needs of other parts: functions that the composition root hands in."""

from collections.abc import Awaitable, Callable, Sequence

from worker.domain.explain import Explained
from worker.domain.history import Row
from worker.domain.webhook import Webhook
from worker.domain.webhook_test import WebhookTest


class CannotResend(Exception):
    """`away`: RabbitMQ cannot be asked now; else the letter cannot be sent as things are. The text says why."""

    def __init__(self, text: str, *, away: bool) -> None:
        super().__init__(text)
        self.away = away


SendTest = Callable[[Webhook, bytes], Awaitable[WebhookTest]]
"""Sends an event's bytes to the webhook, built and signed like any delivery, in one attempt. Never raises."""

Explain = Callable[[bytes, Sequence[Webhook], bool], list[Explained]]
"""What would become of an event at these webhooks, and if so asked at the operator's. Raises InvalidEvent."""

RefuseUrl = Callable[[str], Awaitable[object | None]]
"""Why the egress rules refuse a URL, whose `str` says so with the setting to change; None: they do not."""

Changed = Callable[[str, int], Awaitable[None]]
"""Announces to every replica that an instance is at this revision now. Returns soon and never raises: a message that
cannot be sent is the announcer's to log, and the caches' time to live covers it."""

Resend = Callable[[str, str | None], Awaitable[Row | None]]
"""POSTs a dead letter once more: its id, and the instance that asks (None: the operator). Returns the attempt as the
history has it; None: no such letter. Raises CannotResend, StoreUnavailable."""

TokenOwner = Callable[[str], Awaitable[str | None]]
"""The instance that a token belongs to, or None. Raises StoreUnavailable."""

"""What the API needs of other parts: functions that the composition root hands in."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from worker.domain.explain import Explained
from worker.domain.history import Row
from worker.domain.webhook import Endpoint, Webhook
from worker.domain.webhook_test import WebhookTest
from worker.replay.became import Became
from worker.replay.jobs import Asked, Job
from worker.replay.resumed import Resumed
from worker.webhooks.changing import Changed as ChangedWebhook


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

Resend = Callable[[str, str | None], Awaitable[Row]]
"""POSTs a delivery once more: its id, and the instance that asks (None: the operator). Returns the attempt as the
history has it. Raises BodyGone, CannotResend, StoreUnavailable."""


class Replays(Protocol):
    """What the worker can give back. `owner` is the instance that asks, None: the operator. Every call may raise
    CannotReplay and StoreUnavailable; those about a webhook NoSuchWebhook, AlreadySo."""

    async def ask(self, asked: Asked, owner: str | None, counted: str | None = None) -> Job:
        """`counted`: the id of the job that counted what is asked for: asked for again, the first job is the answer."""

    async def job(self, job_id: str, owner: str | None) -> Job | None: ...
    async def jobs(self, owner: str | None, limit: int) -> Sequence[Job]: ...
    async def became(self, job: Job) -> Became:
        """Of what it has sent."""

    async def stop(self, job_id: str, owner: str | None) -> bool: ...
    async def pause(self, endpoint: Endpoint) -> ChangedWebhook: ...
    async def resume(self, endpoint: Endpoint, *, accept_gap: bool) -> Resumed: ...
    async def enabling(self, webhook: Webhook) -> None:
        """The webhook is about to be enabled."""


Body = Callable[[str, str | None], Awaitable[object]]
"""The event of a delivery as JSON types, secrets masked: its id, and the instance that asks (None: the operator).
Raises BodyGone, CannotResend where RabbitMQ is away, StoreUnavailable."""


class BodyGone(Exception):
    """Neither the dead letters nor the archive have it; the text says since when, or why."""


TokenOwner = Callable[[str], Awaitable[str | None]]
"""The instance that a token belongs to, or None. Raises StoreUnavailable."""

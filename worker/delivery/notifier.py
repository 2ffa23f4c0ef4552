"""Publishes notices: to the queue of what is due, each for one receiver, so that they are delivered like any event."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress

from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from worker.basics.clock import Clock
from worker.basics.tasks import Tasks
from worker.delivery.ports import Publisher, PublishFailed
from worker.domain.notices.notice import Kind, Notice
from worker.domain.notices.receivers import NoticeReceiver, owner
from worker.domain.webhook import Webhook

log = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 15.0
"""Between two publishes of a notice that RabbitMQ does not take."""


class Notifier:
    """Says what happened to the operator, if there is such a receiver, and to the owner of the webhook it happened to.

    Whoever calls it makes sure that one replica alone does; twice the same notice has the same `webhook-id`. `now` is
    Unix time in seconds.
    """

    def __init__(self, publisher: Publisher, operator: NoticeReceiver | None, now: Clock) -> None:
        self._publisher = publisher
        self._operator = operator
        self._now = now
        self._publishing = Tasks()

    def disabled(self, webhook: Webhook, reason: str) -> None:
        """Its row was written: the webhook gets nothing more. Never blocks, never raises."""
        notice = Notice(Kind.DISABLED, self._now(), webhook.instance, webhook.id, reason)
        for hearing in self._hearing((webhook,)):
            self._publishing.start(self._publish(notice, hearing))

    async def tell(self, notice: Notice, webhooks: Sequence[Webhook]) -> None:
        """Ends once RabbitMQ has it for the operator and for the owners of `webhooks`, each address once.

        Raises PublishFailed, after which it may be told again: it keeps its id.
        """
        for hearing in self._hearing(webhooks):
            await self._published(notice.message(), notice, hearing.id)

    async def finished(self, seconds: float) -> None:
        """Waits so long for what RabbitMQ has not confirmed; the rest is not said any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._publishing.finished()
        if self._publishing:
            log.warning("%d notices were not taken by RabbitMQ before the end", len(self._publishing))
        await self._publishing.end()

    def _hearing(self, webhooks: Sequence[Webhook]) -> Iterator[NoticeReceiver]:
        """The operator, and the webhooks' owners."""
        if self._operator is not None:
            yield self._operator
        owners = filter(None, map(owner, webhooks))
        yield from {found.url: found for found in owners}.values()

    async def _publish(self, notice: Notice, hearing: NoticeReceiver) -> None:
        again = AsyncRetrying(
            retry=retry_if_exception_type(PublishFailed), wait=wait_random_exponential(max=LONGEST_WAIT_SECONDS)
        )
        await again(self._published, notice.message(), notice, hearing.id)

    async def _published(self, body: bytes, notice: Notice, receiver_id: str) -> None:
        await self._publisher.retry(body, notice.past(receiver_id), 0)

"""Receivers that fail for long, remembered in the webhooks' own rows (ports.FailureMemory)."""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import replace

from worker.domain.webhook import Webhook
from worker.lookup.cache import Cache
from worker.lookup.gone import disabled
from worker.webhooks.store import StoreUnavailable, WritableStore

log = logging.getLogger(__name__)


class StoredFailures:
    """Writes to the store and into this process's cache; other replicas see it within their time to live.

    A call that takes longer than `timeout` seconds has failed, and is made again at a later attempt.
    """

    def __init__(self, store: WritableStore, cache: Cache, timeout: float = 5.0) -> None:
        self._store = store
        self._cache = cache
        self._timeout = timeout

    async def failing(self, webhook: Webhook, since: int) -> None:
        await self._write(webhook, self._remember(webhook, since))

    async def recovered(self, webhook: Webhook) -> None:
        await self._write(webhook, self._remember(webhook, None))

    async def give_up(self, webhook: Webhook, reason: str) -> None:
        await self._write(webhook, self._disable(webhook, reason))

    async def _remember(self, webhook: Webhook, since: int | None) -> None:
        found = await self._store.failing(webhook, since)
        self._cache.amend(webhook, replace(webhook, failing_since=found))

    async def _disable(self, webhook: Webhook, reason: str) -> None:
        revision = await self._store.disable(webhook, reason, if_failing=True)
        if revision is None:
            self._cache.invalidate(webhook.instance, -1)  # it changed or recovered, unseen by this cache
            return
        self._cache.amend(webhook, disabled(webhook, reason))
        log.warning("webhook %s of %s is disabled: %s", webhook.id, webhook.instance, reason)

    async def _write(self, webhook: Webhook, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await work
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("that webhook %s of %s fails was not written: %s", webhook.id, webhook.instance, error)

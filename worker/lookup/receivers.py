"""What deliveries have shown of receivers, written into the webhooks' rows and into this process's cache."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from worker.domain.webhook import Webhook
from worker.lookup.cache import Cache
from worker.lookup.gone import disabled
from worker.webhooks.store import StoreUnavailable, WritableStore

log = logging.getLogger(__name__)


class StoredReceivers:
    """ports.Receivers over a store; other replicas see what it wrote within their cache's time to live.

    `store` is None where it is read-only: then only this process's cache knows of a receiver that is gone, until its
    webhook changes. A call that takes longer than `timeout` seconds has failed. `on_disabled` hears of each webhook
    whose row this process has disabled, and why: of all replicas, one has.
    """

    def __init__(
        self,
        cache: Cache,
        store: WritableStore | None,
        on_disabled: Callable[[Webhook, str], None] = lambda *_: None,
        timeout: float = 5.0,
    ) -> None:
        self._cache = cache
        self._store = store
        self._on_disabled = on_disabled
        self._timeout = timeout

    async def disable(self, webhook: Webhook, reason: str, *, if_failing: bool) -> None:
        if not if_failing and not self._cache.disable(webhook, reason):
            return
        if self._store is not None and webhook.instance:
            now = "still enabled" if if_failing else "disabled in memory only"
            failed = f"webhook %s of %s is {now}: %s"
            await self._write(webhook, self._disable(self._store, webhook, reason, if_failing), failed)

    async def failing(self, webhook: Webhook, since: int) -> None:
        await self._remember(webhook, since)

    async def recovered(self, webhook: Webhook) -> None:
        await self._remember(webhook, None)

    async def _disable(self, store: WritableStore, webhook: Webhook, reason: str, if_failing: bool) -> None:
        if await store.disable(webhook, reason, if_failing=if_failing) is None:
            self._cache.invalidate(webhook.instance, -1)  # it changed or recovered in the store, unseen by this cache
            return
        self._cache.stored(webhook, disabled(webhook, reason))
        log.warning("webhook %s of %s is disabled: %s", webhook.id, webhook.instance, reason)
        self._on_disabled(webhook, reason)

    async def _remember(self, webhook: Webhook, since: int | None) -> None:
        if self._store is not None:
            failed = "that webhook %s of %s fails was not written: %s"
            await self._write(webhook, self._failing(self._store, webhook, since), failed)

    async def _failing(self, store: WritableStore, webhook: Webhook, since: int | None) -> None:
        found = await store.failing(webhook, since)
        self._cache.amend(webhook, replace(webhook, failing_since=found))

    async def _write(self, webhook: Webhook, work: Awaitable[None], failed: str) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await work
        except (StoreUnavailable, TimeoutError) as error:
            log.warning(failed, webhook.id, webhook.instance, error)

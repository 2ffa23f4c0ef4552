"""Asks the history: prepares its tables before the first question, and never lets health be in the way."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from worker.basics.clock import Clock
from worker.domain.webhook import Endpoint
from worker.history.store import Cursor, Health, HistoryStore, Kept, LastHour, Page, Question, Trend
from worker.webhooks.store import StoreUnavailable

log = logging.getLogger(__name__)

HEALTH_SECONDS = 2.0
"""For a webhook's health, which is shown beside it: whoever asks for the webhook waits no longer."""


class Asking:
    """`missing` says why there can be no history yet (a file that nobody has made), or None: nothing is made for a
    question. `now` is Unix seconds."""

    def __init__(self, store: HistoryStore, missing: Callable[[], str | None], now: Clock) -> None:
        self._store = store
        self._missing = missing
        self._now = now
        self._prepared = False

    async def page(self, question: Question, after: Cursor | None, limit: int) -> Page:
        """Newest first. Raises StoreUnavailable, as the other questions."""
        await self._prepare()
        return await self._store.page(question, after, limit)

    async def timeline(self, delivery_id: str, owner: str | None) -> tuple[Kept, ...]:
        """Oldest first; () for an id that is not there, or not the owner's."""
        await self._prepare()
        return await self._store.timeline(delivery_id, owner)

    async def health(self, instance: str) -> Mapping[str, Health] | None:
        """By webhook id. None: not known now. Never raises, and takes HEALTH_SECONDS at most."""
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._prepare()
                return await self._store.health(instance, int(self._now() * 1000))
        except (StoreUnavailable, TimeoutError) as error:
            log.info("the health of webhooks is not known: %s", error)
            return None

    async def last_hour(self, owner: str | None, reasons: Collection[str], most: int) -> LastHour:
        """Until now. See HistoryStore. Raises StoreUnavailable."""
        await self._prepare()
        return await self._store.last_hour(owner, int(self._now() * 1000), reasons, most)

    async def trends(self, endpoints: Collection[Endpoint]) -> Mapping[Endpoint, Trend] | None:
        """Until now. None: not known now. Never raises, and takes HEALTH_SECONDS at most."""
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._prepare()
                return await self._store.trends(endpoints, int(self._now() * 1000))
        except (StoreUnavailable, TimeoutError) as error:
            log.info("how webhooks fared is not known: %s", error)
            return None

    async def instances(self, most: int, beginning: str = "") -> Sequence[str] | None:
        """See HistoryStore. None: not known now. Never raises, and takes HEALTH_SECONDS at most."""
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._prepare()
                return await self._store.instances(most, beginning)
        except (StoreUnavailable, TimeoutError) as error:
            log.info("which instances there are is not known: %s", error)
            return None

    async def close(self) -> None:
        await self._store.close()

    async def _prepare(self) -> None:
        if self._prepared:
            return
        problem = self._missing()
        if problem is not None:
            raise StoreUnavailable(problem)
        await self._store.prepare()
        self._prepared = True

"""Reads webhooks before anybody asks for them, so that the first events of many instances wait for no lookup each."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from worker.basics.clock import Clock
from worker.basics.tasks import end
from worker.domain.webhook import Endpoint, Webhook
from worker.lookup.cache import Cache
from worker.webhooks.store import Page, StoreUnavailable

PAGE = 250
"""Webhooks of one query: 10 ms of a thread, beside which the event loop goes on."""

MOST_WEBHOOKS = 20_000
"""Read ahead. Trade-off: with more, the instances that come last in the table are looked up one by one, as before."""

log = logging.getLogger(__name__)

List = Callable[[Endpoint | None, int], Awaitable[Page]]


class ReadAhead:
    """Fills the cache at each `start`, in the background: page by page, and at rest half of the time.

    Ten thousand instances take a second, in which those that have an event already are looked up by themselves. A store
    that does not answer is left alone: lookups go on trying.
    """

    def __init__(self, cache: Cache, pages: List, clock: Clock) -> None:
        self._cache = cache
        self._pages = pages
        self._clock = clock
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Anew: what was read before may have changed unseen."""
        if self._reading is not None:
            self._reading.cancel()
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def close(self) -> None:
        if self._reading is not None:
            await end(self._reading)

    async def _read(self) -> None:
        after, read, whole = None, 0, _Whole(self._cache)
        while read < MOST_WEBHOOKS:
            began = self._clock()
            try:
                page = await self._pages(after, PAGE)
            except StoreUnavailable as error:
                log.debug("webhooks are not read ahead: %s", error)
                return
            for stored in page.items:
                whole.add(stored.webhook, began)
            after, read = page.following, read + len(page.items)
            if after is None:
                whole.ends()
                break
            await asyncio.sleep(self._clock() - began)
        log.debug("%d webhooks were read ahead", read)


class _Whole:
    """Offers an instance's webhooks once all are there: they come in order, and may begin on one page and end on the
    next."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._webhooks: list[Webhook] = []
        self._began = 0.0

    def add(self, webhook: Webhook, began: float) -> None:
        if self._webhooks and self._webhooks[0].instance != webhook.instance:
            self.ends()
        if not self._webhooks:
            self._began = began
        self._webhooks.append(webhook)

    def ends(self) -> None:
        """The last instance is whole."""
        if self._webhooks:
            self._cache.offer(self._webhooks[0].instance, self._webhooks, self._began)
            self._webhooks = []

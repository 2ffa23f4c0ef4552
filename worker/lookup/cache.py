"""The lookup of the delivery path: fresh answers at once, one query for many who wait, the last known in need.

An entry serves for `ttl` seconds. Used in its last quarter, it is looked up again in the background, so that
a busy instance never waits. When the store fails, the last known entry serves, however old, with one
exception: an entry that `invalidate` voided is known to be wrong, and serving it could send an event to an
address that its owner just withdrew. Such an instance counts as unknown, so its events are parked until the
store answers. `invalidate_all` (a change may have been missed) makes entries old, not wrong.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from worker.basics.tasks import end
from worker.delivery.ports import ConfigUnavailable
from worker.domain.webhook import Endpoint, Webhook
from worker.lookup.entries import Entries, Entry, Webhooks
from worker.lookup.gone import Refused, disabled
from worker.lookup.pause import Pause
from worker.webhooks.store import RowUnreadable, Store, StoreUnavailable, WritableStore

REFRESH_FROM = 0.75
"""The part of its time to live after which a used entry is looked up ahead."""

log = logging.getLogger(__name__)


class LookupResult(StrEnum):
    """How a lookup was answered: the label values of `config_lookups_total`."""

    HIT = "hit"
    NEGATIVE = "negative"
    MISS = "miss"
    STALE = "stale"
    ERROR = "error"


Answer = Webhooks | StoreUnavailable


@dataclass(slots=True, eq=False)
class _Query:
    """One query under way. `void`: an invalidation came after it began, so its answer may be the old one."""

    instance: str
    revision: int | None
    task: "asyncio.Task[Answer]" = field(init=False)
    void: bool = False


class Cache:
    """ports.Webhooks over a store. `clock` is monotonic; `count` has a bound increment for each result.

    `writable` is where `disable` writes (the store itself, or None for a read-only one). A query that takes
    longer than `timeout` seconds counts as failed.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        count: Mapping[LookupResult, Callable[[], object]],
        writable: WritableStore | None = None,
        ttl: float = 60.0,
        timeout: float = 5.0,
        max_entries: int = 100_000,
        max_bytes: int = 64 * 2**20,
    ) -> None:
        self._store = store
        self._writable = writable
        self._clock = clock
        self._count = count
        self._ttl = ttl
        self._ahead = ttl * (1 - REFRESH_FROM)
        self._timeout = timeout
        self._entries = Entries(max_entries, max_bytes)
        self._queries: dict[str, _Query] = {}
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._pause = Pause(clock, longest=ttl / 12)
        self._refused = Refused()

    def cached(self, instance: str) -> Sequence[Webhook] | None:
        """See ports.Webhooks. 0.5 us with Prometheus counters."""
        entry = self._entries.get(instance)
        if entry is None:
            return None
        left = entry.fresh_until - self._clock()
        if left <= self._ahead:
            if left <= 0:
                return None
            self._refresh_ahead(instance, entry)
        entry.count()
        return entry.webhooks

    async def find(self, instance: str) -> Sequence[Webhook]:
        """See ports.Webhooks."""
        while True:
            found = self.cached(instance)
            if found is not None:
                return found
            query = self._queries.get(instance) or self._begin(instance)
            if query is None or (self._pause.recent() and self._last_known(instance) is not None):
                return self._fallback(instance)
            await asyncio.wait((query.task,))
            if query.void:
                continue  # its answer may be older than a change that came meanwhile: ask again
            answer = query.task.result()
            if isinstance(answer, StoreUnavailable):
                return self._fallback(instance)
            self._count[LookupResult.MISS]()
            return answer

    def invalidate(self, instance: str, revision: int) -> None:
        """The instance's webhooks changed: void its entry, and every query that began before.

        A repeated message (the revision that the entry was looked up after) changes nothing.
        """
        entry = self._entries.get(instance)
        if entry is not None and entry.revision == revision:
            return
        self._refused.forget(instance)  # whoever changes a webhook may have mended its receiver
        self._void(instance)
        self._entries.keep(instance, self._entry(None, -inf, revision))

    def invalidate_all(self) -> None:
        """Changes may have been missed: nothing is fresh until it is looked up again."""
        for entry in self._entries.values():
            entry.expire()
        for query in self._queries.values():
            query.void = True
        self._queries.clear()

    async def disable(self, endpoint: Endpoint, reason: str, seen: Webhook | None = None) -> None:
        """See ports.Webhooks. `seen` is the webhook that the attempt used: if it changed since, nothing happens.

        Written to the store if that is possible, else remembered until the webhook changes.
        """
        known = self._known(endpoint)
        webhook = seen or known
        if webhook is None or not webhook.enabled or (known is not None and known != webhook):
            return
        self._refused.add(webhook, reason)
        self.amend(webhook, disabled(webhook, reason))
        if self._writable is not None:
            await self._write_disabled(self._writable, webhook, reason)

    def amend(self, webhook: Webhook, now: Webhook) -> None:
        """What this process itself wrote of a webhook, without asking for it again."""
        entry = self._entries.get(webhook.instance)
        if entry is not None and entry.webhooks is not None:
            entry.webhooks = tuple(now if known == webhook else known for known in entry.webhooks)

    def instances(self) -> tuple[str, ...]:
        """The instances that were asked for and are still remembered, with webhooks or without."""
        return tuple(self._entries)

    async def close(self) -> None:
        """Ends the queries under way; those who wait for them are expected to be gone."""
        await end(*self._tasks)

    def _begin(self, instance: str) -> _Query | None:
        """A new query, unless the store is left alone for now."""
        if not self._pause.allows():
            return None
        entry = self._entries.get(instance)
        query = _Query(instance, entry.revision if entry is not None else None)
        # A task of its own: whoever waits for it may be cancelled, the others still get the answer.
        query.task = asyncio.get_running_loop().create_task(self._ask(query))
        self._queries[instance] = query
        self._tasks.add(query.task)
        query.task.add_done_callback(self._tasks.discard)
        return query

    async def _ask(self, query: _Query) -> Answer:
        began = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                loaded = await self._store.load(query.instance)
        except TimeoutError:
            return self._failed(began, StoreUnavailable(f"the store did not answer within {self._timeout:g} s"))
        except RowUnreadable as error:
            log.error("%s", error)
            return error
        except StoreUnavailable as error:
            return self._failed(began, error)
        except Exception as error:
            log.exception("instance %r: a fault of ours, perhaps of its row alone", query.instance)  # so: no pause
            return StoreUnavailable(f"{type(error).__name__}: {error}")
        finally:
            if self._queries.get(query.instance) is query:
                del self._queries[query.instance]
        self._succeeded()
        if query.void:
            return loaded
        found = self._refused.applied(query.instance, loaded)
        known = self._entries.get(query.instance)
        if known is not None:
            found = known.still(found)
        self._entries.keep(query.instance, self._entry(found, began + self._ttl, query.revision))
        return found

    def _failed(self, began: float, error: StoreUnavailable) -> StoreUnavailable:
        if not self._pause.failing:
            log.warning("webhooks are served from the cache, unknown instances are parked: %s", error)
        self._pause.failed(began)
        return error

    def _succeeded(self) -> None:
        if self._pause.failing:
            log.info("the webhook store answers again")
        self._pause.succeeded()

    def _entry(self, webhooks: Webhooks | None, fresh_until: float, revision: int | None) -> Entry:
        count = self._count[LookupResult.HIT if webhooks else LookupResult.NEGATIVE]
        return Entry(webhooks, fresh_until, count, revision)

    def _refresh_ahead(self, instance: str, entry: Entry) -> None:
        if not entry.asked_ahead and instance not in self._queries and self._begin(instance) is not None:
            entry.asked_ahead = True  # should it fail, the entry serves to its end

    def _last_known(self, instance: str) -> Webhooks | None:
        entry = self._entries.get(instance)
        return None if entry is None else entry.webhooks

    def _known(self, endpoint: Endpoint) -> Webhook | None:
        return next((w for w in self._last_known(endpoint.instance) or () if w.id == endpoint.webhook_id), None)

    def _fallback(self, instance: str) -> Webhooks:
        """The last known answer of a store that fails. Raises ConfigUnavailable."""
        known = self._last_known(instance)
        if known is None:
            self._count[LookupResult.ERROR]()
            raise ConfigUnavailable(f"the webhook store does not answer, and instance {instance!r} is not known yet")
        self._count[LookupResult.STALE]()
        return known

    async def _write_disabled(self, store: WritableStore, webhook: Webhook, reason: str) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                revision = await store.disable(webhook, reason)
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("webhook %s of %s is disabled in memory only: %s", webhook.id, webhook.instance, error)
            return
        if revision is None:
            self.invalidate(webhook.instance, -1)  # it changed in the store, unseen by this cache
            return
        self._refused.forget(webhook.instance, webhook.id)
        self._void(webhook.instance)

    def _void(self, instance: str) -> None:
        """What is being asked may be answered as it was before."""
        query = self._queries.pop(instance, None)
        if query is not None:
            query.void = True

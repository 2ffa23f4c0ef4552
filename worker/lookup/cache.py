"""Finds the webhooks of an instance without asking the store for each event.

Fresh entries answer at once, concurrent lookups of an instance share one query, and the last known entry serves when
the store fails.

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
from math import inf

from worker.basics.tasks import end
from worker.delivery.ports import ConfigUnavailable
from worker.domain.choosing.subscriptions import NOBODY, Subscriptions, subscriptions
from worker.domain.record import LookupResult
from worker.domain.webhook import Webhook
from worker.lookup.entries import Entries, Entry
from worker.lookup.gone import GoneReceivers, disabled
from worker.lookup.pause import Pause
from worker.webhooks.store import RowUnreadable, Store, StoreUnavailable

REFRESH_FROM = 0.75
"""The part of its time to live after which a used entry is looked up ahead."""

log = logging.getLogger(__name__)


Answer = Subscriptions | StoreUnavailable


@dataclass(slots=True, eq=False)
class _Query:
    """One query under way. `void`: an invalidation came after it began, so its answer may be the old one."""

    instance: str
    revision: int | None
    task: "asyncio.Task[Answer]" = field(init=False)
    void: bool = False


class Cache:
    """Answers which webhooks an instance has, from memory or the store (ports.Webhooks).

    `clock` is monotonic; `count` has a bound increment for each result. `global_webhook` comes from the settings and
    has no row in any store. A query that takes longer than `timeout` seconds counts as failed.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        count: Mapping[LookupResult, Callable[[], object]],
        global_webhook: Webhook | None = None,
        ttl: float = 60.0,
        timeout: float = 5.0,
        max_entries: int = 100_000,
        max_bytes: int = 96 * 2**20,
    ) -> None:
        self.global_webhook = global_webhook
        self._store = store
        self._clock = clock
        self._count = count
        self._ttl = ttl
        self._ahead = ttl * (1 - REFRESH_FROM)
        self._timeout = timeout
        self._entries = Entries(max_entries, max_bytes)
        self._queries: dict[str, _Query] = {}
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._pause = Pause(clock, longest=ttl / 12)
        self._gone = GoneReceivers()
        self._all_old_since = -inf
        self._step = min(max(ttl / 1000, 1e-6), 0.1)
        self._part = self._until = -inf

    def cached(self, instance: str) -> Subscriptions | None:
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

    async def find(self, instance: str) -> Subscriptions:
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
        self._gone.forget(instance)  # with the change its owner may have mended the receiver
        self._void(instance)
        self._entries.keep(instance, self._entry(None, -inf, revision))

    def invalidate_all(self) -> None:
        """Changes may have been missed: nothing is fresh until it is looked up again."""
        self._all_old_since = self._clock()
        for entry in self._entries.values():
            entry.expire()
        for query in self._queries.values():
            query.void = True
        self._queries.clear()

    def offer(self, instance: str, loaded: Sequence[Webhook], began: float) -> None:
        """Keep what was read from the store at `began`, unasked. What is known, or void, or being asked for, stays."""
        entry = self._entries.get(instance)
        if began <= self._all_old_since or instance in self._queries:
            return
        if entry is not None and (entry.webhooks is None or entry.fresh_until > self._clock()):
            return
        found = subscriptions(self._gone.applied(instance, tuple(loaded)))
        revision = None
        if entry is not None:
            found, revision = entry.still(found), entry.revision
        self._entries.keep(instance, self._entry(found, self._fresh_until(began), revision))

    def disable(self, webhook: Webhook, reason: str) -> bool:
        """Serve it as disabled from now on, until it changes in the store; the global one until the restart.

        `webhook` is what the attempt used. False: it was changed meanwhile, or is disabled already.
        """
        known = self._known(webhook.instance, webhook.id) if webhook.instance else self.global_webhook
        if not webhook.enabled or (known is not None and known != webhook):
            return False
        if webhook.instance:
            self._gone.add(webhook, reason)
            self.amend(webhook, disabled(webhook, reason))
        else:
            self.global_webhook = disabled(webhook, reason)
        return True

    def stored(self, webhook: Webhook, now: Webhook) -> None:
        """The store has been written: serve the webhook as it is now, and drop what was remembered in its place."""
        self._gone.forget(webhook.instance, webhook.id)
        self.amend(webhook, now)
        self._void(webhook.instance)

    def amend(self, webhook: Webhook, now: Webhook) -> None:
        """Serve the webhook as this process itself has just written it, without asking the store again."""
        entry = self._entries.get(webhook.instance)
        if entry is not None and entry.webhooks is not None:
            entry.webhooks = subscriptions(now if known == webhook else known for known in entry.webhooks)

    def instances(self) -> tuple[str, ...]:
        """The instances that were asked for and are still remembered, with webhooks or without."""
        return tuple(self._entries)

    async def close(self) -> None:
        """Ends the queries under way. No lookup waits for them any more."""
        await end(*self._tasks)

    def _begin(self, instance: str) -> _Query | None:
        """A new query, unless the store is left alone for now."""
        if not self._pause.allows():
            return None
        entry = self._entries.get(instance)
        query = _Query(instance, entry.revision if entry is not None else None)
        # A task of its own: a lookup that waits for it may be cancelled, the others still get the answer.
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
            return subscriptions(loaded)
        found = subscriptions(self._gone.applied(query.instance, loaded)) if loaded else NOBODY
        known = self._entries.get(query.instance)
        if known is not None:
            found = known.still(found)
        self._entries.keep(query.instance, self._entry(found, self._fresh_until(began), query.revision))
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

    def _entry(self, webhooks: Subscriptions | None, fresh_until: float, revision: int | None) -> Entry:
        count = self._count[LookupResult.HIT if webhooks else LookupResult.NEGATIVE]
        return Entry(webhooks, fresh_until, count, revision)

    def _fresh_until(self, began: float) -> float:
        """One number for all that is read within a thousandth of the time to live, a tenth of a second at most: a
        delivery reads it, and 10,000 of them are in no cache of the processor."""
        part = began // self._step
        if part != self._part:
            self._part, self._until = part, part * self._step + self._ttl
        return self._until

    def _refresh_ahead(self, instance: str, entry: Entry) -> None:
        if not entry.asked_ahead and instance not in self._queries and self._begin(instance) is not None:
            entry.asked_ahead = True  # should it fail, the entry serves to its end

    def _last_known(self, instance: str) -> Subscriptions | None:
        entry = self._entries.get(instance)
        return None if entry is None else entry.webhooks

    def _known(self, instance: str, webhook_id: str) -> Webhook | None:
        return next((webhook for webhook in self._last_known(instance) or () if webhook.id == webhook_id), None)

    def _fallback(self, instance: str) -> Subscriptions:
        """The last known answer of a store that fails. Raises ConfigUnavailable."""
        known = self._last_known(instance)
        if known is None:
            self._count[LookupResult.ERROR]()
            raise ConfigUnavailable(f"the webhook store does not answer, and instance {instance!r} is not known yet")
        self._count[LookupResult.STALE]()
        return known

    def _void(self, instance: str) -> None:
        """Makes the query under way stale: it may read the old row."""
        query = self._queries.pop(instance, None)
        if query is not None:
            query.void = True

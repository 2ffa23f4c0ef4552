"""A store and a clock that do what the test says."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace

from worker.domain.record import LookupResult
from worker.domain.webhook import Webhook
from worker.lookup.cache import Cache
from worker.lookup.receivers import StoredReceivers
from worker.webhooks.store import StoreUnavailable

DOWN = StoreUnavailable("DATABASE_CONNECTION_URI test://: down")


class Clock:
    """Monotonic seconds that stand still until the test moves them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Pending:
    """A query that waits for the test; its answer is what the store held when it began. `seconds`: how long it took
    until now, where a test counts that."""

    instance: str
    answer: "asyncio.Future[tuple[Webhook, ...]]"
    snapshot: tuple[Webhook, ...]
    seconds: float = 0.0

    def succeed(self) -> None:
        self.answer.set_result(self.snapshot)

    def fail(self, error: Exception = DOWN) -> None:
        self.answer.set_exception(error)


class FakeStore:
    """`rows` is what it holds. While `held`, queries wait in `pending`. `error` makes queries and writes fail."""

    def __init__(self, *webhooks: Webhook) -> None:
        self.rows: dict[str, tuple[Webhook, ...]] = {}
        for webhook in webhooks:
            self.rows[webhook.instance] = (*self.rows.get(webhook.instance, ()), webhook)
        self.error: Exception | None = None
        self.held = False
        self.pending: list[Pending] = []
        self.loads: list[str] = []

    async def load(self, instance: str) -> tuple[Webhook, ...]:
        self.loads.append(instance)
        snapshot = self.rows.get(instance, ())
        if self.held:
            answer = asyncio.get_running_loop().create_future()
            self.pending.append(Pending(instance, answer, snapshot))
            return await answer
        if self.error is not None:
            raise self.error
        return snapshot

    async def check(self) -> None: ...

    async def close(self) -> None: ...


class FakeWritableStore(FakeStore):
    """Of the writes only what the lookup uses."""

    async def failing(self, seen: Webhook, since: int | None) -> int | None:
        if self.error is not None:
            raise self.error
        self.rows[seen.instance] = tuple(
            replace(row, failing_since=since) if row == seen else row for row in self.rows[seen.instance]
        )
        return since

    async def disable(self, seen: Webhook, reason: str, *, if_failing: bool = False) -> int | None:
        if self.error is not None:
            raise self.error
        rows = [row for row in self.rows.get(seen.instance, ()) if row == seen]
        if not rows or (if_failing and rows[0].failing_since is None):
            return None
        self.rows[seen.instance] = tuple(
            replace(row, enabled=False, disabled_reason=reason) if row == seen else row
            for row in self.rows[seen.instance]
        )
        return 7


class Rig:
    """A cache over the fakes, and what writes beside it; `counts` is the metric."""

    def __init__(
        self, store: FakeStore, *, writable: bool = False, global_webhook: Webhook | None = None, **options: float
    ) -> None:
        self.store = store
        self.clock = Clock()
        self.counts: Counter[str] = Counter()
        self.cache = Cache(
            store,
            clock=self.clock,
            count={result: self._adder(result) for result in LookupResult},
            global_webhook=global_webhook,
            **options,  # type: ignore[arg-type]
        )
        self.said: list[tuple[str, str]] = []
        self.receivers = StoredReceivers(
            self.cache,
            store if writable else None,  # type: ignore[arg-type]
            lambda webhook, reason: self.said.append((webhook.id, reason)),
        )

    def _adder(self, result: LookupResult):  # type: ignore[no-untyped-def]
        return lambda: self.counts.update((result.value,))


async def settle() -> None:
    """Lets every task run until it waits for something outside."""
    for _ in range(12):
        await asyncio.sleep(0)

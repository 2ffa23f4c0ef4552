"""A source that others write, where a writable store is expected: reads pass, writes are refused by name."""

from typing import NoReturn

from worker.domain.webhook import Endpoint, Webhook
from worker.webhooks.store import Deleted, ListableStore, Page, Stored, StoreReadOnly, Written


class ReadOnly:
    """A WritableStore. `source` is WEBHOOK_SOURCE's value, `remedy` says where webhooks are changed instead."""

    def __init__(self, store: ListableStore, source: str, remedy: str) -> None:
        self._store = store
        self._refusal = f"webhooks cannot be changed here with WEBHOOK_SOURCE={source}: {remedy}"

    async def load(self, instance: str) -> tuple[Webhook, ...]:
        return await self._store.load(instance)

    async def get(self, instance: str) -> tuple[Stored, ...]:
        return await self._store.get(instance)

    async def list(self, after: Endpoint | None, limit: int) -> Page:
        return await self._store.list(after, limit)

    async def instances(self) -> tuple[str, ...]:
        return await self._store.instances()

    async def check(self) -> None:
        await self._store.check()

    async def close(self) -> None:
        await self._store.close()

    async def put(self, webhook: Webhook) -> Written:  # noqa: ARG002 - the port's signature, as for all that follow
        """Raises StoreReadOnly, as all that follow."""
        self._refuse()

    async def put_if_unchanged(self, webhook: Webhook, seen: int) -> Written | None:  # noqa: ARG002
        self._refuse()

    async def delete(self, instance: str, webhook_id: str | None) -> Deleted | None:  # noqa: ARG002
        self._refuse()

    async def disable(self, seen: Webhook, reason: str, *, if_failing: bool = False) -> int | None:  # noqa: ARG002
        self._refuse()

    async def failing(self, seen: Webhook, since: int | None) -> int | None:  # noqa: ARG002
        self._refuse()

    async def migrate(self) -> int:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreReadOnly(self._refusal)

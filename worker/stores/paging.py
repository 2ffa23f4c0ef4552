"""Webhooks held in memory, looked through as a store's."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from worker.domain.webhook import Endpoint
from worker.webhooks.store import Page, Stored


def page(stored: Iterable[Stored], after: Endpoint | None, limit: int) -> Page:
    """See webhooks/store.py, ListableStore.list."""
    ordered = sorted(stored, key=_key)
    first = bisect_right(ordered, _order(after), key=_key) if after is not None else 0
    items: Sequence[Stored] = ordered[first : first + limit]
    following = items[-1].webhook.endpoint if items and first + limit < len(ordered) else None
    return Page(tuple(items), following)


def _key(item: Stored) -> tuple[str, str]:
    return _order(item.webhook.endpoint)


def _order(endpoint: Endpoint) -> tuple[str, str]:
    return endpoint.instance, endpoint.webhook_id

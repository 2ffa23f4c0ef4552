"""Pause and resume of one webhook: a mark in its row. What it misses meanwhile is the archive's to give back,
but with an `order`: then its events wait in their siding."""

from dataclasses import replace

from worker.domain.webhook import UNORDERED, Endpoint, Webhook
from worker.webhooks.changing import Changed, Make, change, leave
from worker.webhooks.store import WritableStore


class NoSuchWebhook(Exception):
    """There is no webhook of this instance and id."""


class AlreadySo(Exception):
    """It is paused already, or not paused; the text says which."""


async def pause(store: WritableStore, endpoint: Endpoint, now_ms: int) -> Changed:
    """Raises NoSuchWebhook, AlreadySo StoreUnavailable."""

    async def made(existing: Webhook | None) -> Webhook:
        webhook = _there(existing)
        if webhook.paused_at is not None:
            raise AlreadySo("it is paused already")
        if webhook.order_next is not None:
            raise AlreadySo("its order is being switched: try again when this has ended")
        return replace(webhook, paused_at=now_ms)

    return await _changed(store, endpoint, made)


async def resume(store: WritableStore, endpoint: Endpoint, now_ms: int | None = None) -> Changed:
    """`now_ms`: of one that keeps its events itself. Raises NoSuchWebhook, AlreadySo, StoreUnavailable."""

    async def made(existing: Webhook | None) -> Webhook:
        paused_since(existing)
        return replace(_there(existing), paused_at=None, resumed_at=now_ms)

    return await _changed(store, endpoint, made)


def keeps_events(webhook: Webhook | None) -> bool:
    """Whether what comes during a pause waits for its end in order, so that nothing is to be replayed."""
    return webhook is not None and webhook.order != UNORDERED


def paused_since(webhook: Webhook | None) -> int:
    """Unix milliseconds. Raises NoSuchWebhook, AlreadySo."""
    since = _there(webhook).paused_at
    if since is None:
        raise AlreadySo("it is not paused")
    return since


async def _changed(store: WritableStore, endpoint: Endpoint, made: Make) -> Changed:
    changed = await change(store, endpoint, made, leave)
    assert changed is not None  # `made` always makes one
    return changed


def _there(existing: Webhook | None) -> Webhook:
    if existing is None:
        raise NoSuchWebhook
    return existing

"""Webhooks whose receiver takes nothing, and those that the worker has disabled because of it."""

import asyncio
import shlex
from collections.abc import Sequence

from worker.basics.moments import iso
from worker.doctor.commands import which
from worker.doctor.finding import Finding, many, some
from worker.doctor.history import SECONDS
from worker.domain.notices.trouble import FAILING_MS
from worker.domain.webhook import GLOBAL_ID, Endpoint, Webhook
from worker.history.store import Failing
from worker.process.history_store import now, store_of_history
from worker.settings.settings import Settings
from worker.webhooks.store import StoreUnavailable

NAME, DISABLED = "failing webhooks", "disabled webhooks"
LOOKED_AT = 1000


async def failing(settings: Settings, webhooks: Sequence[Webhook]) -> Finding | None:
    """None: no webhook that was tried within the hour, or nobody can say. Nothing is made or changed."""
    if settings.history != "all":
        return None  # what succeeded is not known
    store = store_of_history(settings)
    at = int(now() * 1000)
    try:
        async with asyncio.timeout(SECONDS):
            hour = await store.last_hour(None, at, (), LOOKED_AT)
    except (StoreUnavailable, TimeoutError):
        return None  # its tables are not there yet, or the history's own finding says why
    finally:
        await store.close()
    return judged(hour.failing, webhooks, at)


def judged(found: Sequence[Failing], webhooks: Sequence[Webhook], now_ms: int) -> Finding | None:
    """Of those whose newest attempt failed, the ones that never took anything, or for as long as a notice waits before
    it tells the owner: a receiver that is deployed anew is back by then. `now_ms`: Unix milliseconds."""
    enabled = {Endpoint(webhook.instance, webhook.id) for webhook in webhooks if webhook.enabled}
    dead: dict[Endpoint, Failing] = {}
    for one in found:
        webhook = _webhook_of(one.endpoint)
        if webhook in enabled and (one.last_success or 0) < now_ms - FAILING_MS:
            dead.setdefault(webhook, one)
    if not dead:
        return None
    names = tuple(_named(webhook, one) for webhook, one in dead.items())
    what = f"{many(len(names), 'webhook gets nothing through', 'webhooks get nothing through')}: {some(names)}"
    first = next(iter(dead.values())).endpoint
    of_first = f"--instance {shlex.quote(first.instance)} --webhook {shlex.quote(first.webhook_id)}"
    return Finding("warning", NAME, what, f"see what it answers: webhook-worker history list {of_first}", names)


def _webhook_of(endpoint: Endpoint) -> Endpoint:
    """The history has the global webhook under each instance whose event it got."""
    return Endpoint("", GLOBAL_ID) if endpoint.webhook_id == GLOBAL_ID else endpoint


def _named(webhook: Endpoint, one: Failing) -> str:
    success = "no success" if one.last_success is None else f"last success {iso(one.last_success / 1000, 'seconds')}"
    name = f"{webhook.instance}/{webhook.webhook_id}" if webhook.instance else "WEBHOOK_GLOBAL_URL"
    return f"{name} ({one.reason or 'failed'}, {success})"


def disabled(webhooks: Sequence[Webhook], elsewhere: str = "") -> Finding | None:
    """By the worker: a 410, or days without a success. `elsewhere`: as in endpoints.py."""
    found = [webhook for webhook in webhooks if not webhook.enabled and webhook.disabled_reason]
    if not found:
        return None
    names = tuple(f"{webhook.instance}/{webhook.id} ({_why(webhook)})" for webhook in found)
    enable = f"webhook-worker webhook set {which(found[0].instance, found[0].id)} --enabled"
    what = f"{many(len(found), 'webhook gets', 'webhooks get')} nothing any more: {some(names)}"
    return Finding("warning", DISABLED, what, elsewhere or f"once its receiver is back: {enable}", names)


def _why(webhook: Webhook) -> str:
    since = f", since {iso(webhook.disabled_at / 1000, 'seconds')}" if webhook.disabled_at else ""
    return f"{webhook.disabled_reason}{since}"

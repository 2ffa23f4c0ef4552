"""`webhook rotate-secret`: a new signing secret beside the old one, which signs until receivers have changed over."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from worker.basics.moments import iso
from worker.domain.webhook import Endpoint, Webhook
from worker.webhooks.changing import change, leave
from worker.webhooks.fields import new_secret
from worker.webhooks.store import WritableStore


@dataclass(frozen=True, slots=True)
class Rotated:
    """`new_secret` is there this once; `old_until`: ISO time at which the old one ends, None: it has ended."""

    new_secret: str
    old_until: str | None
    revision: int


async def rotate_secret(
    store: WritableStore,
    instance: str,
    webhook_id: str,
    expire_old: int,
    now: float,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> Rotated | None:
    """`expire_old` in seconds, `now` Unix time. None: there is no such webhook. Raises StoreUnavailable."""
    secret = new_secret(random_bytes)

    async def rotated(existing: Webhook | None) -> Webhook | None:
        return with_new_secret(existing, secret, expire_old, now) if existing else None

    changed = await change(store, Endpoint(instance, webhook_id), rotated, leave)
    if changed is None:
        return None
    until = changed.webhook.old_secret_until
    return Rotated(secret, None if until is None else iso(until), changed.written.revision)


def with_new_secret(webhook: Webhook, secret: str, expire_old: int, now: float) -> Webhook:
    """The newest of the old ones stays for `expire_old` seconds; an older one goes now."""
    if not webhook.secrets or expire_old <= 0:
        return replace(webhook, secrets=(secret,), old_secret_until=None)
    return replace(webhook, secrets=(secret, webhook.secrets[0]), old_secret_until=int(now) + expire_old)

"""`webhook-worker webhook set|get|list|delete`: functions that return data; cli.py parses and prints."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from worker.configuration.model import GENERATE, InvalidWebhook, Problem, fields_of, new_secret, warnings, webhook_from
from worker.configuration.port import Deleted, RowDamaged, WritableStore
from worker.configuration.shown import Shown, shown, shown_stored
from worker.domain.webhook import DEFAULT_ID, Endpoint, Webhook

PAGE = 500


@dataclass(frozen=True, slots=True)
class SetArguments:
    """`webhook set`, as typed. None: not given, so an existing webhook keeps what it has.

    `events` and `headers` replace the whole list; () empties it. `secret`: a value, "generate", or "" for none.
    """

    instance: str
    webhook_id: str = DEFAULT_ID
    url: str | None = None
    events: Sequence[str] | None = None
    by_events: bool | None = None
    base64: bool | None = None
    enabled: bool | None = None
    headers: Sequence[str] | None = None
    secret: str | None = None
    timeout_ms: int | None = None
    concurrency: int | None = None
    rate_limit: str | None = None


@dataclass(frozen=True, slots=True)
class SetResult:
    """`new_secret` is there once, when it was generated."""

    webhook: Shown
    created: bool
    revision: int
    warnings: tuple[str, ...]
    new_secret: str | None = None


async def set_webhook(
    store: WritableStore, arguments: SetArguments, random_bytes: Callable[[int], bytes] = secrets.token_bytes
) -> SetResult:
    """Creates or changes one webhook. Raises InvalidWebhook, StoreUnavailable."""
    existing = await _get(store, arguments.instance, arguments.webhook_id)
    generated = arguments.secret == GENERATE
    secret = new_secret(random_bytes) if generated else arguments.secret
    webhook = webhook_from({**(fields_of(existing) if existing else {}), **_given(arguments, secret)})
    if existing and not webhook.enabled:
        webhook = replace(webhook, disabled_reason=existing.disabled_reason)
    written = await store.put(webhook)
    return SetResult(
        webhook=shown(webhook),
        created=written.created,
        revision=written.revision,
        warnings=warnings(webhook),
        new_secret=secret if generated else None,
    )


async def get_webhooks(store: WritableStore, instance: str, webhook_id: str | None = None) -> list[Shown]:
    """The instance's webhooks, or the one with that id; none: []. Raises StoreUnavailable."""
    found = await store.get(instance)
    return [shown_stored(item) for item in found if webhook_id in (None, item.webhook.id)]


async def list_webhooks(store: WritableStore, limit: int | None = None) -> list[Shown]:
    """All webhooks, or the first `limit`, in order of instance and id. Raises StoreUnavailable."""
    shown_items: list[Shown] = []
    following: Endpoint | None = None
    while limit is None or len(shown_items) < limit:
        size = PAGE if limit is None else min(PAGE, limit - len(shown_items))
        page = await store.list(following, size)
        shown_items += map(shown_stored, page.items)
        following = page.following
        if following is None:
            break
    return shown_items


async def delete_webhooks(store: WritableStore, instance: str, webhook_id: str | None) -> Deleted | None:
    """Deletes one webhook, or all of the instance (None); None: there was none. Raises StoreUnavailable."""
    return await store.delete(instance, webhook_id)


async def _get(store: WritableStore, instance: str, webhook_id: str) -> Webhook | None:
    try:
        found = await store.get(instance)
    except RowDamaged:
        return None  # setting it again, whole, is the remedy
    return next((item.webhook for item in found if item.webhook.id == webhook_id), None)


def _given(arguments: SetArguments, secret: str | None) -> dict[str, object]:
    """What the operator typed, by field name; what was not typed stays out."""
    fields: dict[str, object] = {
        "url": arguments.url,
        "events": None if arguments.events is None else _events(arguments.events),
        "by_events": arguments.by_events,
        "base64": arguments.base64,
        "enabled": arguments.enabled,
        "headers": None if arguments.headers is None else _headers(arguments.headers),
        "secrets": None if secret is None else [secret] if secret else [],
        "timeout_ms": arguments.timeout_ms,
        "concurrency": arguments.concurrency,
        "rate_limit": None if arguments.rate_limit is None else _rate_limit(arguments.rate_limit),
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return {"instance": arguments.instance, "id": arguments.webhook_id, **given}


def _events(texts: Sequence[str]) -> list[str]:
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def _headers(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition(":") for text in texts]
    if not all(colon for _, colon, _ in pairs):
        raise InvalidWebhook((Problem("headers", 'must be given as "Name: value"'),))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _rate_limit(text: str) -> dict[str, float | int]:
    """`10` or `10/20`: attempts a second, and the burst."""
    per_second, _, burst = text.partition("/")
    try:
        return {"per_second": float(per_second), **({"burst": int(burst)} if burst else {})}
    except ValueError:
        problem = Problem("rate_limit", f"must be PER_SECOND or PER_SECOND/BURST, not {text!r}")
        raise InvalidWebhook((problem,)) from None

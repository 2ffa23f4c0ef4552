"""`webhook-worker webhook set|get|list|delete`: functions that return data; the command line parses and prints."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from worker.domain.webhook import DEFAULT_ID, Endpoint, Webhook
from worker.webhooks.changing import change
from worker.webhooks.fields import GENERATE, InvalidWebhook, Problem, fields_of, new_secret, warnings, webhook_from
from worker.webhooks.shown import Shown, shown, shown_stored
from worker.webhooks.store import Deleted, WritableStore

PAGE = 500

T = TypeVar("T")


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
    timeout_ms: int | str | None = None
    concurrency: int | str | None = None
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
    generated = arguments.secret == GENERATE
    secret = new_secret(random_bytes) if generated else arguments.secret

    async def made(existing: Webhook | None) -> Webhook:
        return _webhook(arguments, secret, existing)

    changed = await change(store, Endpoint(arguments.instance, arguments.webhook_id), made)
    assert changed is not None  # `made` always makes one
    return SetResult(
        webhook=shown(changed.webhook),
        created=changed.written.created,
        revision=changed.written.revision,
        warnings=warnings(changed.webhook),
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


def _webhook(arguments: SetArguments, secret: str | None, existing: Webhook | None) -> Webhook:
    """Raises InvalidWebhook with what is wrong with the typed texts, too."""
    fields, problems = _given(arguments, secret)
    try:
        webhook = webhook_from({**(fields_of(existing) if existing else {}), **fields})
    except InvalidWebhook as error:
        raise InvalidWebhook((*error.problems, *problems)) from None
    if problems:
        raise InvalidWebhook(tuple(problems))
    return webhook


def _given(arguments: SetArguments, secret: str | None) -> tuple[dict[str, object], list[Problem]]:
    """What the operator typed, by field name; what was not typed, or cannot be read, stays out."""
    problems: list[Problem] = []
    fields: dict[str, object] = {
        "url": arguments.url,
        "events": None if arguments.events is None else _events(arguments.events),
        "by_events": arguments.by_events,
        "base64": arguments.base64,
        "enabled": arguments.enabled,
        "secrets": None if secret is None else [secret] if secret else [],
        "timeout_ms": _whole(arguments.timeout_ms),
        "concurrency": _whole(arguments.concurrency),
        "headers": _read(problems, "headers", _headers, arguments.headers),
        "rate_limit": _read(problems, "rate_limit", _rate_limit, arguments.rate_limit),
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return {"instance": arguments.instance, "id": arguments.webhook_id, **given}, problems


def _read(problems: list[Problem], field: str, reader: Callable[[T], object], typed: T | None) -> object:
    try:
        return None if typed is None else reader(typed)
    except ValueError as error:
        problems.append(Problem(field, str(error)))
        return None


def _events(texts: Sequence[str]) -> list[str]:
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def _whole(typed: int | str | None) -> int | str | None:
    """A number if it is one; other text is left to be refused together with whatever else is wrong."""
    return int(typed) if isinstance(typed, str) and re.fullmatch(r"-?[0-9]{1,18}", typed) else typed


def _headers(texts: Sequence[str]) -> dict[str, str]:
    """Raises ValueError."""
    pairs = [text.partition(":") for text in texts]
    if not all(colon for _, colon, _ in pairs):
        raise ValueError('must be given as "Name: value"')
    headers = {name.strip(): value.strip() for name, _, value in pairs}
    if len(headers) < len(pairs):
        raise ValueError("one of them is given twice")
    return headers


def _rate_limit(text: str) -> dict[str, float | int]:
    """`10` or `10/20`: attempts a second, and the burst. Raises ValueError."""
    found = re.fullmatch(r"(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)(?:/(-?[0-9]{1,9}))?", text)
    if found is None:
        raise ValueError(f"must be PER_SECOND or PER_SECOND/BURST, not {text!r:.100}")
    return {"per_second": float(found[1]), **({"burst": int(found[2])} if found[2] else {})}

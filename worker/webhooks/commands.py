"""`webhook-worker webhook set|get|list|delete`: functions that return data; the command line parses and prints."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker.basics.clock import Clock
from worker.domain.webhook import DEFAULT_ID, Endpoint, Webhook
from worker.webhooks.changing import Enabling, change
from worker.webhooks.declaration import CONTENT
from worker.webhooks.fields import GENERATE, InvalidWebhook, Problem, fields_of, new_secret, set_from, warnings
from worker.webhooks.kind import ProblemsWithin
from worker.webhooks.shown import Shown, shown, shown_stored
from worker.webhooks.store import Deleted, RowDamaged, WritableStore

PAGE = 500


class SetArguments:
    """`webhook set`, as typed: `typed` by the fields' names in requests (`events`, `secret`, `timeout_ms`, ...).

    None, or left out: not given, so an existing webhook keeps what it has. What repeats (`events`, `headers`) replaces
    the whole list; () empties it. `secret`: a value, "generate", or "" for none. Raises TypeError for another name.
    """

    def __init__(self, instance: str, webhook_id: str = DEFAULT_ID, **typed: object) -> None:
        unknown = typed.keys() - {field.requested for field in CONTENT}
        if unknown:
            raise TypeError(f"not a field of a webhook: {', '.join(sorted(unknown))}")
        self.instance = instance
        self.webhook_id = webhook_id
        self.typed = typed


@dataclass(frozen=True, slots=True)
class SetResult:
    """`new_secret` is there once, when it was generated."""

    webhook: Shown
    created: bool
    revision: int
    warnings: tuple[str, ...]
    new_secret: str | None = None


async def set_webhook(
    store: WritableStore,
    arguments: SetArguments,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    now: Clock = time.time,
    *,
    enabling: Enabling,
    orders: bool = False,
) -> SetResult:
    """Creates or changes one webhook. `orders`: whether the workers deliver in order (ORDER).

    Raises InvalidWebhook, StoreUnavailable, and what `enabling` raises.
    """
    generated = arguments.typed.get("secret") == GENERATE
    secret = new_secret(random_bytes) if generated else None
    typed = arguments.typed | ({"secret": secret} if generated else {})

    async def made(existing: Webhook | None) -> Webhook:
        try:
            return _webhook(arguments, typed, existing, now(), orders=orders)
        except InvalidWebhook as error:
            if existing is not None or typed.get("url") is not None:
                raise
            raise InvalidWebhook(await _none_yet(store, arguments, error.problems)) from None

    changed = await change(store, Endpoint(arguments.instance, arguments.webhook_id), made, enabling)
    assert changed is not None  # `made` always makes one
    return SetResult(
        webhook=shown(changed.webhook),
        created=changed.written.created,
        revision=changed.written.revision,
        warnings=warnings(changed.webhook),
        new_secret=secret,
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


def _webhook(
    arguments: SetArguments, typed: Mapping[str, object], existing: Webhook | None, now: float, *, orders: bool
) -> Webhook:
    """Raises InvalidWebhook with what is wrong with the typed texts, too."""
    fields, problems = _given(typed)
    address = {"instance": arguments.instance, "id": arguments.webhook_id}
    try:
        merged = {**address, **(fields_of(existing) if existing else {}), **fields}
        webhook = set_from(merged, existing, now, orders=orders)
    except InvalidWebhook as error:
        raise InvalidWebhook((*error.problems, *problems)) from None
    if problems:
        raise InvalidWebhook(tuple(problems))
    return webhook


async def _none_yet(
    store: WritableStore, arguments: SetArguments, problems: tuple[Problem, ...]
) -> tuple[Problem, ...]:
    """Nobody who means to change one that has another id is to think that its URL is missing."""
    try:
        others = [item.webhook.id for item in await store.get(arguments.instance)]
    except RowDamaged:  # the next command shows which
        return problems
    there = f"; --id changes another one of it: {', '.join(others)}" if others else ""
    why = f"is required, as {arguments.instance!r} has no webhook {arguments.webhook_id!r} yet{there}"
    return tuple(Problem("url", why) if problem.field == "url" else problem for problem in problems)


def _given(typed: Mapping[str, object]) -> tuple[dict[str, object], list[Problem]]:
    """What the operator typed, in its plain form; what was not typed, or cannot be read, stays out."""
    fields: dict[str, object] = {}
    problems: list[Problem] = []
    for field in CONTENT:
        given = typed.get(field.requested)
        if given is None:
            continue
        try:
            fields[field.name] = field.kind.typed(given)
        except ProblemsWithin as error:
            problems += (Problem(within.place, within.message) for within in error.problems)
        except ValueError as error:
            problems.append(Problem(field.name, str(error)))
    return fields, problems

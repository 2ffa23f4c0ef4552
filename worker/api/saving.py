"""A set: what was asked, merged with what is stored, checked, written, and announced to all replicas."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from worker.api.dialects import Asked
from worker.api.errors import invalid
from worker.api.ports import Changed, RefuseUrl
from worker.basics.clock import Clock
from worker.domain.target import plain_url
from worker.domain.webhook import Endpoint, Webhook
from worker.webhooks.changing import Enabling, change, find
from worker.webhooks.declaration import CONTENT, FIELDS, Field, Kept
from worker.webhooks.fields import (
    GENERATE,
    InvalidWebhook,
    Problem,
    fields_of,
    new_secret,
    set_from,
    warnings,
)
from worker.webhooks.store import RowDamaged, Stored, WritableStore

EGRESS_SECONDS = 5.0
"""For the URL's name to resolve; later is too late to refuse it here, and each connect is judged anyway."""


@dataclass(frozen=True, slots=True)
class Saved:
    """`secret` was generated now. `stored` None: somebody deleted the webhook meanwhile."""

    webhook: Webhook
    stored: Stored | None
    created: bool
    warnings: tuple[str, ...]
    secret: str | None


TAKEN = Problem("id", "there is such a webhook of this instance: choose another id")


class Saving:
    """Merges, checks, stores and announces a webhook that was set.

    Sets of one instance take turns in this process; against other processes the store's revisions guard.
    """

    def __init__(
        self,
        store: WritableStore,
        refuse_url: RefuseUrl,
        changed: Changed,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        now: Clock = time.time,
        *,
        enabling: Enabling,
        orders: bool = False,
    ) -> None:
        self._store = store
        self._enabling = enabling
        self._refuse_url = refuse_url
        self._changed = changed
        self._random_bytes = random_bytes
        self._now = now
        self._orders = orders
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def save(self, asked: Asked, *, new: bool = False) -> Saved:
        """`new`: it must not be there yet, whoever is faster. Raises ApiError with every problem, StoreUnavailable."""
        endpoint = _endpoint(asked)
        secret = new_secret(self._random_bytes) if asked.values.get("secret") == GENERATE else None
        nothing: Webhook | None = None

        async def made(existing: Webhook | None) -> Webhook | None:
            nonlocal nothing
            if new and existing is not None:
                raise invalid((TAKEN,))
            webhook = await self._checked(asked, existing, secret)
            nothing = None if webhook.url else webhook
            return webhook if webhook.url else None

        async with self._locks.setdefault(endpoint.instance, asyncio.Lock()):
            changed = await change(self._store, endpoint, made, self._enabling)
        if changed is None:
            assert nothing is not None
            return Saved(nothing, None, False, (*asked.warnings, "nothing was set, so nothing was stored"), None)
        webhook, written = changed.webhook, changed.written
        await self._changed(webhook.instance, written.revision)
        notes = (*asked.warnings, *warnings(webhook))
        return Saved(webhook, await self._stored(webhook), written.created, notes, secret)

    async def preview(self, asked: Asked, existing: Webhook | None) -> Webhook:
        """What `save` would make of `existing`; nothing is written. Raises ApiError with every problem."""
        return await self._checked(asked, existing, None)

    async def _stored(self, webhook: Webhook) -> Stored | None:
        try:
            return await find(self._store, webhook.endpoint)
        except RowDamaged:
            return None  # another of the instance's: this one is written

    async def _checked(self, asked: Asked, existing: Webhook | None, secret: str | None) -> Webhook:
        fields = merged(asked, existing, secret)
        problems = _masks_left(fields)
        webhook: Webhook | None = None
        try:
            webhook = set_from(fields, existing, self._now(), orders=self._orders)
        except InvalidWebhook as error:
            webhook, remaining = _switched_off(fields, error.problems)
            problems += remaining
        wrong = {problem.field for problem in problems}
        if fields.get("enabled", True) is True and "url" not in wrong:
            problems += await self._refused("url", str(fields["url"]))
        if fields.get("alert_url") and "alert_url" not in wrong:
            problems += await self._refused("alert_url", str(fields["alert_url"]))
        renamed = [Problem(asked.called(problem.field), problem.message) for problem in problems]
        if webhook is None or problems or asked.problems:
            raise invalid([*asked.problems, *renamed])
        return webhook

    async def _refused(self, field: str, url: str) -> list[Problem]:
        try:
            async with asyncio.timeout(EGRESS_SECONDS):
                reason = await self._refuse_url(plain_url(url))
        except TimeoutError:
            return []
        return [Problem(field, f"is refused by the egress rules: {reason}")] if reason else []


def _switched_off(fields: dict[str, Any], problems: Sequence[Problem]) -> tuple[Webhook | None, Sequence[Problem]]:
    """A request to stop what was never set names no URL (documented so for 1.0): right as it is."""
    if fields.get("enabled") is not False or fields.get("url") != "":
        return None, problems
    others = [problem for problem in problems if problem.field != "url"]
    return None if others else Webhook(fields["instance"], "", id=fields["id"], enabled=False), others


def merged(asked: Asked, existing: Webhook | None, secret: str | None) -> dict[str, object]:
    """The fields that the webhook is to have: given ones, kept ones, and stored ones in the place of masks."""
    stored = fields_of(existing) if existing else {}
    fields = {field.name: stored[field.name] for field in CONTENT if stored and _keeps(field, asked)}
    fields |= {field.name: asked.values[field.requested] for field in FIELDS if field.requested in asked.values}
    given = secret or fields.get("secrets")
    if isinstance(given, str):
        fields["secrets"] = [given]
    if fields.get("enabled") is False and not asked.whole:
        fields["events"] = []  # as Evolution: a disabled webhook keeps no list
        fields["url"] = fields.get("url") or stored.get("url") or ""
    if existing:
        masked = [field for field in CONTENT if field.hidden and field.name in fields]
        fields |= {field.name: field.unmasked(fields[field.name], existing) for field in masked}
    return fields


def _keeps(field: Field, asked: Asked) -> bool:
    """Whether what is stored stays where the request leaves it out."""
    return field.kept is Kept.ALWAYS or (field.kept is Kept.NESTED and asked.nested)


def _masks_left(fields: dict[str, Any]) -> list[Problem]:
    """A mask that stands for nothing would be sent as if it were the secret."""
    secret_first = sorted((field for field in CONTENT if field.hidden), key=lambda field: not field.secret)
    found = ((field.name, field.kind.masks_left(fields.get(field.name))) for field in secret_first)
    return [Problem(name + path, message) for name, masks in found for path, message in masks]


def _endpoint(asked: Asked) -> Endpoint:
    """Where to look. What is no text, or none that a database can be asked for, is refused by `_checked`."""
    named = (asked.values.get("instance"), asked.values["id"])
    return Endpoint(*(str(name).encode(errors="replace").decode() for name in named))

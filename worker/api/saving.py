"""A set: what was asked, merged with what is stored, checked, written, and told to all replicas."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from worker.api.dialects import Asked
from worker.api.errors import invalid
from worker.api.ports import Changed, RefuseUrl
from worker.basics.masking import MASK, without_credentials
from worker.domain.target import plain_url
from worker.domain.webhook import Endpoint, Webhook
from worker.webhooks.changing import change, find
from worker.webhooks.fields import (
    GENERATE,
    InvalidWebhook,
    Problem,
    fields_of,
    new_secret,
    warnings,
    webhook_from,
)
from worker.webhooks.store import RowDamaged, Stored, WritableStore

EGRESS_SECONDS = 5.0
"""For the URL's name to resolve; later is too late to refuse it here, and each connect is judged anyway."""

_KEPT = ("headers", "secrets", "timeout_ms", "concurrency", "rate_limit")
"""Stay as they are when a set leaves them out: the clients that were written for Evolution do not know them,
and whoever knows them cannot read back what answers mask."""

_KEPT_NESTED = ("by_events", "base64")
"""As Evolution 2.x; in 1.x what is left out is false."""


@dataclass(frozen=True, slots=True)
class Saved:
    """`secret` was generated now. `stored` None: somebody deleted the webhook meanwhile."""

    webhook: Webhook
    stored: Stored | None
    created: bool
    warnings: tuple[str, ...]
    secret: str | None


class Saving:
    """Sets of one instance take turns in this process; against other processes the store's revisions guard."""

    def __init__(
        self,
        store: WritableStore,
        refuse_url: RefuseUrl,
        changed: Changed,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._refuse_url = refuse_url
        self._changed = changed
        self._random_bytes = random_bytes
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def save(self, asked: Asked) -> Saved:
        """Raises ApiError with every problem, StoreUnavailable."""
        endpoint = _endpoint(asked)
        secret = new_secret(self._random_bytes) if asked.values.get("secret") == GENERATE else None
        nothing: Webhook | None = None

        async def made(existing: Webhook | None) -> Webhook | None:
            nonlocal nothing
            webhook = await self._checked(asked, existing, secret)
            nothing = None if webhook.url else webhook
            return webhook if webhook.url else None

        async with self._locks.setdefault(endpoint.instance, asyncio.Lock()):
            changed = await change(self._store, endpoint, made)
        if changed is None:
            assert nothing is not None
            return Saved(nothing, None, False, (*asked.warnings, "nothing was set, so nothing was stored"), None)
        webhook, written = changed.webhook, changed.written
        await self._changed(webhook.instance, written.revision)
        notes = (*asked.warnings, *warnings(webhook))
        return Saved(webhook, await self._stored(webhook), written.created, notes, secret)

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
            webhook = webhook_from(fields)
        except InvalidWebhook as error:
            webhook, remaining = _switched_off(fields, error.problems)
            problems += remaining
        if fields.get("enabled", True) is True and "url" not in {problem.field for problem in problems}:
            problems += await self._refused(str(fields["url"]))
        renamed = [Problem(asked.called(problem.field), problem.message) for problem in problems]
        if webhook is None or problems or asked.problems:
            raise invalid([*asked.problems, *renamed])
        return webhook

    async def _refused(self, url: str) -> list[Problem]:
        try:
            async with asyncio.timeout(EGRESS_SECONDS):
                reason = await self._refuse_url(plain_url(url))
        except TimeoutError:
            return []
        return [Problem("url", f"is refused by the egress rules: {reason}")] if reason else []


def _switched_off(fields: dict[str, Any], problems: Sequence[Problem]) -> tuple[Webhook | None, Sequence[Problem]]:
    """A request to stop what was never set names no URL (documented so for 1.0): right as it is."""
    if fields.get("enabled") is not False or fields.get("url") != "":
        return None, problems
    others = [problem for problem in problems if problem.field != "url"]
    return None if others else Webhook(fields["instance"], "", id=fields["id"], enabled=False), others


def merged(asked: Asked, existing: Webhook | None, secret: str | None) -> dict[str, object]:
    """The fields that the webhook is to have: given ones, kept ones, and stored ones in the place of masks."""
    stored = fields_of(existing) if existing else {}
    kept = (*_KEPT, *_KEPT_NESTED) if asked.nested else _KEPT
    fields = {name: stored[name] for name in kept if name in stored} | asked.values
    if "secret" in fields:
        given = secret or fields.pop("secret")
        fields.pop("secret", None)
        fields["secrets"] = [given] if isinstance(given, str) else [] if given is None else given
    if fields.get("enabled") is False:
        fields["events"] = []  # as Evolution: a disabled webhook keeps no list
        fields["url"] = fields.get("url") or stored.get("url") or ""
    if existing and "url" in fields and fields["url"] == without_credentials(existing.url):
        fields["url"] = existing.url
    headers = fields.get("headers")
    if isinstance(headers, dict):
        fields["headers"] = _unmasked(headers, dict(existing.headers) if existing else {})
    return fields


def _unmasked(headers: dict[str, Any], stored: dict[str, str]) -> dict[str, Any]:
    return {name: stored.get(name, value) if value == MASK else value for name, value in headers.items()}


def _masks_left(fields: dict[str, Any]) -> list[Problem]:
    """A mask that stands for nothing would be sent as if it were the secret."""
    headers, url = fields.get("headers"), fields.get("url")
    masked = [name for name, value in headers.items() if value == MASK] if isinstance(headers, dict) else []
    problems = [Problem(f"headers.{name}", "is only the mask that answers show: give the value") for name in masked]
    if isinstance(url, str) and f"//{MASK}@" in url:
        problems.append(Problem("url", "has only the mask that answers show for its credentials: give them"))
    return problems


def _endpoint(asked: Asked) -> Endpoint:
    """Where to look. What is no text, or none that a database can be asked for, is refused by `_checked`."""
    named = (asked.values.get("instance"), asked.values["id"])
    return Endpoint(*(str(name).encode(errors="replace").decode() for name in named))

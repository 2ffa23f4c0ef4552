"""A row of Evolution 2.x's `Webhook` table as a webhook. Evolution checks little, so this takes what it sends."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import orjson

from worker.domain.names import canonical
from worker.domain.target import SILENT_PREFIX
from worker.domain.webhook import Webhook
from worker.webhooks.store import RowDamaged, Stored

FAREWELL = frozenset({"INSTANCE_DELETE", "REMOVE_INSTANCE", "LOGOUT_INSTANCE"})
"""Canonical names of the events of an instance's deletion: they usually arrive when its rows are gone."""


class Row(NamedTuple):
    """As the database has it. JSON columns are text; times are Unix microseconds as the column holds them."""

    instance: str
    url: str
    headers: str | None
    enabled: int | bool | None
    events: str | None
    by_events: int | bool | None
    base64: int | bool | None
    created: int | None
    updated: int
    instance_id: str | None = None

    @property
    def content(self) -> tuple[object, ...]:
        """What makes a difference to deliveries."""
        return (*self[:7], self.instance_id)


def stored(row: Row, *, take_all: bool) -> Stored | None:
    """The webhook; None: it is not the worker's to send. Raises RowDamaged without showing a value."""
    silent = row.url.startswith(SILENT_PREFIX)
    url = row.url.removeprefix(SILENT_PREFIX)
    if not (silent or take_all) or not url.lower().startswith(("http://", "https://")):
        return None  # Evolution sends only http(s), and without take_all it sends those itself
    webhook = Webhook(
        instance=row.instance,
        url=url,
        enabled=bool(row.enabled),
        events=_events(row),
        by_events=bool(row.by_events),
        base64=bool(row.base64),
        headers=_headers(row),
        instance_id=row.instance_id,
    )
    updated = row.updated // 1000
    return Stored(webhook, updated, updated if row.created is None else row.created // 1000, updated)


def farewell(webhook: Webhook) -> Webhook | None:
    """The webhook of an instance that is gone: only for the events of its deletion, if it wanted them."""
    wanted = frozenset(filter(webhook.wants, FAREWELL))
    return replace(webhook, events=wanted) if wanted else None


def _events(row: Row) -> frozenset[str]:
    names = _json(row, "events") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _damaged(row, "events")
    return frozenset(map(canonical, names))


def _headers(row: Row) -> tuple[tuple[str, str], ...]:
    headers = _json(row, "headers") or {}
    if not isinstance(headers, Mapping):
        raise _damaged(row, "headers")
    return tuple((name, _header_value(row, value)) for name, value in headers.items() if value is not None)


def _header_value(row: Row, value: object) -> str:
    match value:
        case str():
            return value
        case bool() | int() | float():  # as JavaScript writes them into a header
            return orjson.dumps(value).decode()
    raise _damaged(row, "headers")


def _json(row: Row, column: str) -> object:
    text = getattr(row, column)
    try:
        value: object = None if text is None else orjson.loads(text)
        return orjson.loads(value) if isinstance(value, str) and value else value  # JSON text within JSON
    except orjson.JSONDecodeError:
        raise _damaged(row, column) from None


def _damaged(row: Row, column: str) -> RowDamaged:
    return RowDamaged(
        f"column `{column}` of Evolution's webhook of instance {row.instance!r} is not as Evolution writes"
    )

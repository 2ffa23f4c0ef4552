"""A row of Evolution 2.x's `Webhook` table as a webhook: of what Evolution would send, see sent.py."""

from dataclasses import replace
from typing import NamedTuple

import orjson

from worker.domain.webhook import Webhook
from worker.stores.evolution.sent import Fields, is_marked, sent
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
    headers, events = _json(row, "headers"), _json(row, "events")
    fields = sent(row.url, headers, events, row.enabled, row.by_events, row.base64)
    if not (take_all or is_marked(row.url)) or not str(fields["url"]).lower().startswith(("http://", "https://")):
        return None  # Evolution sends only http(s), and without take_all it sends those itself
    webhook = _webhook(row, fields)
    updated = row.updated // 1000
    return Stored(webhook, updated, updated if row.created is None else row.created // 1000, updated)


def farewell(webhook: Webhook) -> Webhook | None:
    """The webhook of an instance that is gone: only for the events of its deletion, if it wanted them."""
    wanted = frozenset(filter(webhook.wants, FAREWELL))
    return replace(webhook, events=wanted) if wanted else None


def _webhook(row: Row, fields: Fields) -> Webhook:
    headers, events = fields["headers"], fields["events"]
    if not isinstance(headers, dict):
        raise _damaged(row, "headers")
    if not isinstance(events, list) or not all(isinstance(name, str) for name in events):
        raise _damaged(row, "events")
    return Webhook(
        instance=row.instance,
        url=str(fields["url"]),
        enabled=bool(fields["enabled"]),
        events=frozenset(events),
        by_events=bool(fields["by_events"]),
        base64=bool(fields["base64"]),
        headers=tuple(headers.items()),
        instance_id=row.instance_id,
    )


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

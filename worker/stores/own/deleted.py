"""Which order deleted webhooks had: a new one of the same id gets another order only when no replica knows the old one.

Until then a replica may take its events for the ordered side's, and another one for the unordered side's: lost.
"""

import json
from collections.abc import Mapping

from sqlalchemy import Connection, select, update

from worker.domain.webhook import UNORDERED, Webhook
from worker.stores.own.schema import REVISIONS
from worker.webhooks.store import OrderLeft

Left = dict[str, tuple[int, str]]
"""By a webhook's id: when it was deleted (Unix ms), and the order that it had."""

SWITCHING = "switching"
"""The order of one that was deleted while it was being switched."""


def worn(order: str | None, order_next: str | None) -> str:
    """The order of a row that goes."""
    return SWITCHING if order_next else order or UNORDERED


def orders_left(connection: Connection, instance: str, since: int) -> Left:
    """Of webhooks that were deleted after `since` (Unix ms)."""
    found = connection.execute(select(REVISIONS.c.order_left).where(REVISIONS.c.instance == instance)).scalar()
    left: Mapping[str, tuple[int, str]] = json.loads(found) if found else {}
    return {name: (at, order) for name, (at, order) in left.items() if at > since}


def note_orders_left(connection: Connection, instance: str, left: Left) -> None:
    """In the transaction that deletes them."""
    noted = json.dumps(left) if left else None
    connection.execute(update(REVISIONS).where(REVISIONS.c.instance == instance).values(order_left=noted))


def refuse_another_order(webhook: Webhook, left: Left, since: int) -> None:
    """Raises OrderLeft."""
    at, order = left.get(webhook.id, (0, webhook.order))
    if order == webhook.order:
        return
    raise OrderLeft(
        f"webhook {webhook.id!r} of {webhook.instance!r} was deleted a moment ago, and had order {order!r}: replicas "
        f"may still know it. Try again in {(at - since) / 1000:.0f} s, or use another id"
    )

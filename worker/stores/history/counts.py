"""Counts over the history: what became of the newest rows, and how a webhook fared hour by hour. Imports SQLAlchemy.

As in questions.py, `owner` is a condition of its own.
"""

from typing import Any

from sqlalchemy import Connection, Select, Table, func, select

from worker.domain.webhook import Endpoint
from worker.history.store import Span, Trend
from worker.stores.history.questions import DAY_MS, DELIVERED, FAILED, HOUR_MS

HOURS = DAY_MS // HOUR_MS


def tallies(history: Table, owner: str | None, since: int, most: int) -> Select[Any]:
    """Rows of Tally. The newest `most` rows alone are read, so that a busy hour costs no more than a quiet one."""
    names = ("instance", "webhook", "outcome", "reason")
    newest = select(*(history.c[name] for name in (*names, "at")))
    if owner is not None:
        newest = newest.where(history.c.instance == owner)
    newest = newest.where(history.c.at >= since).order_by(history.c.at.desc(), history.c.number.desc())
    found = newest.limit(most).subquery()
    keys = [found.c[name] for name in names]
    return select(*keys, func.count(), func.max(found.c.at)).group_by(*keys)


def trend(connection: Connection, history: Table, endpoint: Endpoint, now: int) -> Trend:
    """One statement, which reads the day's part of the index of health alone: in PostgreSQL that is two partitions."""
    hour = ((now - history.c.at) // HOUR_MS).label("hour")
    counted = select(history.c.outcome, hour, func.count(), func.max(history.c.at)).where(
        history.c.instance == endpoint.instance,
        history.c.webhook == endpoint.webhook_id,
        history.c.ms.is_not(None),
        history.c.outcome.in_((DELIVERED, *FAILED)),
        history.c.at > now - DAY_MS,
        history.c.at <= now,
    )
    attempts, delivered = [0] * HOURS, [0] * HOURS
    last: dict[bool, int] = {}
    for outcome, ago, rows, at in connection.execute(counted.group_by(history.c.outcome, hour)):
        succeeded = outcome == DELIVERED
        attempts[int(ago)] += rows
        delivered[int(ago)] += rows if succeeded else 0
        last[succeeded] = max(at, last.get(succeeded, at))
    spans = tuple(Span(*pair) for pair in zip(attempts, delivered, strict=True))
    return Trend(spans, last.get(True), last.get(False))

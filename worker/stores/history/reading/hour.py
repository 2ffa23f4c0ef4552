"""How deliveries fared within the last hour, from what is counted beside the rows. Imports SQLAlchemy (0.4 s).

It reads a row of each minute and one of each endpoint, and a page's worth of the history itself: a busy hour costs no
more than a quiet one.
"""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, FromClause, Table, and_, case, func, literal, select, text, true

from worker.domain.notices.receivers import OPERATOR
from worker.domain.webhook import Endpoint
from worker.history.store import MOST_COUNTED, Failing, LastHour, Span
from worker.stores.history.counters import DELIVERED, HOUR_MS, HOURS_MINUTES, minute_of
from worker.stores.history.reading.questions import newest_first
from worker.stores.history.schema import LASTS, MINUTES, TOTALS, UNUSUAL

_L = LASTS.c


class Hour:
    """The one until `now` (Unix ms). `owner`: of this instance alone; None is the operator, who sees all."""

    def __init__(self, connection: Connection, history: Table, owner: str | None, now: int) -> None:
        self._connection = connection
        self._history = history
        self._owner = owner
        self._now = now

    def asked(self, reasons: Collection[str], most: int) -> LastHour:
        fails = and_(_L.failure > _L.success, _L.failure > self._now - HOUR_MS)
        count = func.coalesce(func.sum(case((fails, 1), else_=0)), 0)
        last, fail = self._connection.execute(select(func.max(_L.success), count).where(self._is_its(LASTS))).one()
        return LastHour(self._attempts(), last or None, self._failing(fails, most), int(fail), self._rows(reasons))

    def _attempts(self) -> Span:
        if self._owner is None:
            return self._span(TOTALS, true())
        return self._span(MINUTES, self._is_its(MINUTES))

    def _failing(self, fails: ColumnElement[bool], most: int) -> tuple[Failing, ...]:
        """The longest without a success first: which failed most would need the minutes of all."""
        asked = select(_L.instance, _L.webhook, _L.success, _L.failure).where(fails, self._is_its(LASTS))
        found = self._connection.execute(asked.order_by(_L.success, _L.failure.desc()).limit(most)).all()
        return tuple(
            Failing(
                Endpoint(instance, webhook),
                self._span(MINUTES, (MINUTES.c.instance == instance) & (MINUTES.c.webhook == webhook)),
                failure,
                success or None,
                self._reason(instance, webhook, failure),
            )
            for instance, webhook, success, failure in found
        )

    def _span(self, table: Table, which: ColumnElement[bool]) -> Span:
        minute, last = table.c.minute, minute_of(self._now)
        sums = (func.coalesce(func.sum(column), 0) for column in (table.c.attempts, table.c.delivered))
        found = self._connection.execute(
            select(*sums).where(which, minute > last - HOURS_MINUTES, minute <= last)
        ).one()
        return Span(*map(int, found))

    def _reason(self, instance: str, webhook: str, at: int) -> str:
        row = self._history.c
        is_it = (row.instance == instance, row.webhook == webhook, row.at == at, row.ms.is_not(None))
        asked = select(row.reason).where(*is_it, row.outcome != DELIVERED)
        return self._connection.execute(asked.order_by(row.number.desc()).limit(1)).scalar() or ""

    def _rows(self, reasons: Collection[str]) -> Mapping[str, int]:
        """Trade-off: an owner's are counted among its newest MOST_COUNTED rows of the hour."""
        counts = self._owners(reasons) if self._owner is not None else self._everybodys(reasons)
        return {reason: count for reason, count in counts if count}

    def _everybodys(self, reasons: Collection[str]) -> Sequence[tuple[str, int]]:
        row, found = self._history.c, []
        for reason in sorted(reasons):
            some = select(literal(1).label("one")).where(row.reason == reason, row.at > self._now - HOUR_MS)
            some = some.where(text(UNUSUAL)).limit(MOST_COUNTED)
            found.append(
                (reason, self._connection.execute(select(func.count()).select_from(some.subquery())).scalar_one())
            )
        return found

    def _owners(self, reasons: Collection[str]) -> Sequence[tuple[str, int]]:
        row = self._history.c
        newest = select(row.reason).where(row.instance == self._owner, row.at > self._now - HOUR_MS, text(UNUSUAL))
        some = newest.where(row.webhook.is_distinct_from(OPERATOR)).order_by(*newest_first(self._history))
        some_rows = some.limit(MOST_COUNTED).subquery()
        counted = select(some_rows.c.reason, func.count()).where(some_rows.c.reason.in_(reasons))
        return [(reason, count) for reason, count in self._connection.execute(counted.group_by(some_rows.c.reason))]

    def _is_its(self, table: FromClause) -> ColumnElement[bool]:
        """What the operator heard of an instance is the operator's."""
        if self._owner is None:
            return true()
        return and_(table.c.instance == self._owner, table.c.webhook != OPERATOR)

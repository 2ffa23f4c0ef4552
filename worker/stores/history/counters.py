"""How endpoints fare, counted beside the rows in the transaction that writes them. Imports SQLAlchemy (0.4 s).

A count over the rows costs as much as there are rows of that day; a count that is kept costs a page's worth, however
many there are. Trade-off: one more row to write for each endpoint and minute of a transaction, and the last hour and
day are those of whole minutes. A minute ends with its number: 5 is what came after 240,000 ms, and until 300,000 ms.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Table, case, delete, func, insert, select, tuple_

from worker.domain.outcome import DeadLettered, Delivered, Parked, Retried, Skipped
from worker.domain.webhook import Endpoint
from worker.history.store import Health, Span, Trend
from worker.stores.history import chunks
from worker.stores.history.kinds import Kind, Merged
from worker.stores.history.schema import COLUMNS, LASTS, MINUTES, TOTALS
from worker.stores.history.storable import AHEAD_DAYS, Columns

DELIVERED = Delivered.__name__
FAILED = tuple(kind.__name__ for kind in (Retried, Parked, DeadLettered, Skipped))
ATTEMPTED = frozenset({DELIVERED, *FAILED})

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
HOURS = 24
HOURS_MINUTES = HOUR_MS // MINUTE_MS
_DAY = HOURS * HOURS_MINUTES

_MOST_ENDPOINTS = 200
"""In one question: databases bound a statement's parameters."""

_MS = COLUMNS.index("ms")
_at = itemgetter(COLUMNS.index("at"))
_end = itemgetter(*map(COLUMNS.index, ("instance", "webhook", "outcome")))
_C, _L = MINUTES.c, LASTS.c


def minute_of(at: int) -> int:
    """In which minute a row of this time counts."""
    return -(-at // MINUTE_MS)


def add(connection: Connection, kind: Kind, rows: Iterable[Columns], now: int) -> None:
    """Counts rows of attempts (those that took a time) that have an endpoint. `now`: Unix ms."""
    minutes: dict[tuple[str, str, int], list[int]] = {}
    lasts: dict[tuple[str, str], list[int]] = {}
    for instance, webhook, outcome, minute, many, last in _attempts(rows):
        delivered = outcome == DELIVERED
        counted = minutes.setdefault((instance, webhook, minute), [0, 0])
        counted[0] += many
        counted[1] += many * delivered
        ended = lasts.setdefault((instance, webhook), [0, 0])
        ended[not delivered] = max(ended[not delivered], last)
    oldest = minute_of(now) - _DAY
    of_day = [key for key in sorted(minutes) if key[2] > oldest]
    kind.merge(connection, MINUTES, [(*key, *minutes[key]) for key in of_day], Merged.SUM)
    kind.merge(connection, LASTS, [(*key, *lasts[key]) for key in sorted(lasts)], Merged.GREATEST)
    # Last: other writers wait for these rows until the transaction ends.
    totals: dict[int, list[int]] = {}
    for key in of_day:
        total = totals.setdefault(key[2], [0, 0])
        total[0] += minutes[key][0]
        total[1] += minutes[key][1]
    kind.merge(connection, TOTALS, [(minute, *totals[minute]) for minute in sorted(totals)], Merged.SUM)


class _Attempts(NamedTuple):
    """Of one endpoint that ended alike within one minute: how many, and when the last one did."""

    instance: str
    webhook: str
    outcome: str
    minute: int
    many: int
    last: int


def _attempts(rows: Iterable[Columns]) -> Iterator[_Attempts]:
    """0.4 us a row: what is done for each of them is one call in C for all."""
    in_order = sorted((row for row in rows if row[_MS] is not None), key=_at)
    times, first = list(map(_at, in_order)), 0
    while first < len(times):
        minute = minute_of(times[first])
        end = bisect_right(times, minute * MINUTE_MS, first)
        ends = list(map(_end, in_order[first:end]))
        lasts = dict(zip(ends, times[first:end], strict=True))  # the newest of each
        for (instance, webhook, outcome), many in Counter(ends).items():
            if instance is not None and webhook is not None and outcome in ATTEMPTED:
                last = lasts[instance, webhook, outcome]
                yield _Attempts(instance, webhook, outcome, minute, many, last)
        first = end


def count_anew(connection: Connection, history: Table) -> None:
    """Of rows that were written before there were counters, in the database itself."""
    attempts = (history.c.ms.is_not(None), history.c.outcome.in_(ATTEMPTED))
    named = (history.c.instance.is_not(None), history.c.webhook.is_not(None))
    newest = connection.execute(select(func.max(history.c.at))).scalar() or 0
    minute = _whole(history.c.at + (MINUTE_MS - 1), MINUTE_MS).label("minute")
    is_success = history.c.outcome == DELIVERED
    of_minutes = (
        select(history.c.instance, history.c.webhook, minute, func.count(), func.sum(case((is_success, 1), else_=0)))
        .where(*attempts, *named, history.c.at > newest - (AHEAD_DAYS + 1) * DAY_MS)
        .group_by(history.c.instance, history.c.webhook, minute)
    )
    lasts = [func.max(case((condition, history.c.at), else_=0)) for condition in (is_success, ~is_success)]
    of_lasts = select(history.c.instance, history.c.webhook, *lasts).where(*attempts, *named)
    for table, found in ((MINUTES, of_minutes), (LASTS, of_lasts.group_by(history.c.instance, history.c.webhook))):
        connection.execute(delete(table))
        connection.execute(insert(table).from_select([column.name for column in table.c], found))


def _whole(number: ColumnElement[int], by: int) -> ColumnElement[int]:
    """`number // by`, of one that is not negative. MySQL divides to a few decimals, rounded, so that FLOOR(5.99998)
    may be 6, as it is with 9.7: only what divides without a rest is the same everywhere."""
    return (number - number % by) // by


def total_anew(connection: Connection) -> None:
    """Of minutes that were counted before there were totals."""
    connection.execute(delete(TOTALS))
    sums = select(_C.minute, func.sum(_C.attempts), func.sum(_C.delivered)).group_by(_C.minute)
    connection.execute(insert(TOTALS).from_select([column.name for column in TOTALS.c], sums))


def forget(engine: Engine, now: int, keep_ms: int) -> None:
    """What no question asks for any more."""
    for table in (MINUTES, TOTALS):
        for _ in chunks.delete_before(engine, table.c.minute, minute_of(now) - _DAY):
            pass
    with engine.begin() as connection:
        connection.execute(delete(LASTS).where(_L.success < now - keep_ms, _L.failure < now - keep_ms))


def trends(connection: Connection, endpoints: Sequence[Endpoint], now: int) -> dict[Endpoint, Trend]:
    """Of those that had an attempt within a day."""
    found: dict[Endpoint, Trend] = {}
    for first in range(0, len(endpoints), _MOST_ENDPOINTS):
        some = [(each.instance, each.webhook_id) for each in endpoints[first : first + _MOST_ENDPOINTS]]
        found |= _trends(connection, some, now)
    return found


def _trends(connection: Connection, names: Sequence[tuple[str, str]], now: int) -> dict[Endpoint, Trend]:
    hour = _whole(minute_of(now) - _C.minute, HOURS_MINUTES).label("hour")
    counted = select(_C.instance, _C.webhook, hour, func.sum(_C.attempts), func.sum(_C.delivered))
    counted = counted.where(_among(connection, MINUTES, names), *_within(now, _DAY))
    hours: dict[Endpoint, list[Span]] = {}
    for instance, webhook, ago, attempts, delivered in connection.execute(
        counted.group_by(_C.instance, _C.webhook, hour)
    ):
        spans = hours.setdefault(Endpoint(instance, webhook), [Span(0, 0)] * HOURS)
        spans[int(ago)] = Span(int(attempts), int(delivered))
    lasts = connection.execute(select(LASTS).where(_among(connection, LASTS, names)))
    last = {Endpoint(row.instance, row.webhook): (row.success, row.failure) for row in lasts}
    return {
        name: Trend(tuple(spans), *(_since(at, now - DAY_MS) for at in last.get(name, (0, 0))))
        for name, spans in hours.items()
    }


def health(connection: Connection, instance: str, now: int, keep_ms: int) -> dict[str, Health]:
    """By webhook id, of those that had an attempt within a day."""
    is_hours = _C.minute > minute_of(now) - HOURS_MINUTES
    of_hour = (func.sum(case((is_hours, column), else_=0)) for column in (_C.attempts, _C.delivered))
    spans = select(_C.webhook, *of_hour, func.sum(_C.attempts), func.sum(_C.delivered))
    spans = spans.where(_C.instance == instance, *_within(now, _DAY)).group_by(_C.webhook)
    counted = {name: list(map(int, numbers)) for name, *numbers in connection.execute(spans)}
    lasts = connection.execute(select(_L.webhook, _L.success, _L.failure).where(_L.instance == instance))
    last = {name: (success, failure) for name, success, failure in lasts}
    return {
        name: Health(
            Span(*numbers[:2]), Span(*numbers[2:]), *(_since(at, now - keep_ms) for at in last.get(name, (0, 0)))
        )
        for name, numbers in counted.items()
    }


def _among(connection: Connection, table: Table, names: Sequence[tuple[str, str]]) -> ColumnElement[bool]:
    """SQLite uses no index for several values (`IN (VALUES ...)`), but does for what a question finds."""
    if len(names) == 1:
        return (table.c.instance == names[0][0]) & (table.c.webhook == names[0][1])
    if connection.dialect.name != "sqlite":
        return tuple_(table.c.instance, table.c.webhook).in_(names)
    each = func.json_each(json.dumps(names)).table_valued("value")
    named = (func.json_extract(each.c.value, f"$[{position}]") for position in range(2))
    return tuple_(table.c.instance, table.c.webhook).in_(select(*named))


def _within(now: int, minutes: int) -> tuple[Any, Any]:
    return _C.minute > minute_of(now) - minutes, _C.minute <= minute_of(now)


def _since(at: int, oldest: int) -> int | None:
    return at if at > oldest else None

"""Pages of a search, each of which looks at a bounded number of rows. Imports SQLAlchemy (0.4 s).

An index gives the rows of one condition, newest first. Of several conditions the narrowest leads: the others are tried
on the rows that its index gives. Where even its rows are many, a page ends after MOST_ROWS of them, full or not, and
says how far back it has looked; the next one goes on from there.
Trade-off: of a search that finds next to nothing among very many rows, a page may be short or empty although older
rows match. No index for every combination of filters: each has its price at every row that is written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Subquery, Table, TextClause, select, text, union_all

from worker.domain.choosing.jid import addresses_meant
from worker.domain.history import Row
from worker.history.store import Cursor, Page, Question
from worker.stores.history.reading.questions import conditions, kept, newest_first, page, rows, span
from worker.stores.history.schema import FILTERED, HAS_UNUSUAL, UNUSUAL, USUAL

MOST_ROWS = 5_000
"""Of one condition: 10 to 20 ms. Another page goes on from there."""

_NARROWEST_FIRST = ("id", "chat", "reason", "status", "outcome", "instance", "webhook", "event")
"""As a rule: a condition with fewer than MOST_ROWS rows ends the comparison."""

Condition = ColumnElement[bool] | TextClause


@dataclass(frozen=True, slots=True)
class Lead:
    """What an index gives in order of time: the rows of each of `ways`, which exclude one another. `covers`: the
    filters that they need not be tried on."""

    covers: frozenset[str]
    ways: Sequence[Sequence[Condition]]


def search(connection: Connection, history: Table, question: Question, after: Cursor | None, limit: int) -> Page:
    """Rows newest first, at most `limit`."""
    given = {name for name in FILTERED if getattr(question, name) is not None}
    if question.owner is not None:
        given.add("instance")
    leads = list(_leads(history, question, given, connection.dialect.name))
    if any(lead.covers == given and len(lead.ways) == 1 for lead in leads):
        found = connection.execute(page(history, question, after).limit(limit + 1)).all()
        return _page(found, limit, None)
    lead, end = _narrowest(connection, history, leads, question, after)
    source = _newest(history, lead, [*span(history, question, after), *_down_to(history, end)], 2 * MOST_ROWS)
    statement = rows(source, question.owner).where(*conditions(source, question))
    found = connection.execute(statement.order_by(*newest_first(source)).limit(limit + 1)).all()
    return _page(found, limit, end)


def _page(found: Sequence[Any], limit: int, end: Cursor | None) -> Page:
    items = tuple(kept(row) for row in found[:limit])
    if len(found) > limit:
        return Page(items, Cursor(items[-1].row.at, items[-1].number))
    return Page(items, end, None if end is None else end.at)


def _leads(history: Table, question: Question, given: set[str], dialect: str) -> Iterator[Lead]:
    """Narrowest first, as a rule; the time alone where nothing else has an index."""
    columns, instance = history.c, question.owner if question.instance is None else question.instance
    unusual = [name for name in USUAL if getattr(question, name) not in (None, USUAL[name])]
    if instance is not None and unusual and dialect in HAS_UNUSUAL:
        yield Lead(frozenset({"instance"}), [[columns.instance == instance, text(UNUSUAL)]])
    if instance is not None and question.webhook is not None:
        both = [columns.instance == instance, columns.webhook == question.webhook]
        yield Lead(frozenset({"instance", "webhook"}), [both])
    single = [name for name in _NARROWEST_FIRST if name in given and (name not in USUAL or name in unusual)]
    for name in single:
        value = str(instance) if name == "instance" else getattr(question, name)
        values = addresses_meant(value) if name == "chat" else (value,)
        only = [text(UNUSUAL)] if name in USUAL else []
        yield Lead(frozenset({name}), [[columns[name] == each, *only] for each in values])
    if not single:
        yield Lead(frozenset(), [[]])


def _narrowest(
    connection: Connection, history: Table, leads: Sequence[Lead], question: Question, after: Cursor | None
) -> tuple[Lead, Cursor | None]:
    """With where its MOST_ROWS newest rows end; None: it has no more of them."""
    ends: list[tuple[Cursor, Lead]] = []
    for lead in leads:
        source = _newest(history, lead, list(span(history, question, after)), MOST_ROWS, ("number", "at"))
        last = select(source.c.at, source.c.number).order_by(*newest_first(source)).offset(MOST_ROWS - 1).limit(1)
        end = connection.execute(last).first()
        if end is None:
            return lead, None
        ends.append((Cursor(*end), lead))
    oldest, lead = min(ends, key=lambda each: each[0])
    return lead, oldest


def _down_to(history: Table, end: Cursor | None) -> list[Condition]:
    if end is None:
        return []
    return [history.c.at >= end.at, (history.c.at > end.at) | (history.c.number >= end.number)]


_ALL = ("number", "replica", *Row._fields)


def _newest(
    history: Table, lead: Lead, within: Sequence[Condition], most: int, names: Sequence[str] = _ALL
) -> Subquery:
    """A LIMIT keeps the database from trying the other conditions before it, by another index. Each of `names` costs
    20 us of the driver's time for each of a chat's addresses."""
    columns = [history.c[name] for name in names]
    parts = [
        select(*columns).where(*way, *within).order_by(*newest_first(history)).limit(most).subquery()
        for way in lead.ways
    ]
    if len(parts) == 1:
        return parts[0]
    together = union_all(*map(select, parts)).subquery()
    return select(together).order_by(*newest_first(together)).limit(most).subquery()

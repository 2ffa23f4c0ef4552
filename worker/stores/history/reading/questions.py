"""The statements that read rows: pages, one delivery's time line. Imports SQLAlchemy (0.4 s).

`owner` is a condition of every statement, beside whatever else is asked for, so that nothing can widen it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, Table, TextClause, case, func, select, text

from worker.domain.choosing.jid import addresses_meant
from worker.domain.history import REPLAYED, Row
from worker.domain.notices.receivers import OPERATOR
from worker.domain.outcome import Skipped
from worker.history.store import Cursor, Kept, Question
from worker.stores.history.schema import FILTERED, UNUSUAL, USUAL
from worker.stores.history.storable import is_name, is_number


def answerable(question: Question, after: Cursor | None) -> bool:
    """False: no row can be meant, as no database could hold such a value (drivers refuse some of them), or as it is of
    another instance than the owner's."""
    if question.owner is not None and question.instance not in (None, question.owner):
        return False
    names = {"owner": question.owner, **{name: getattr(question, name) for name in FILTERED if name != "status"}}
    numbers = (question.status, question.since, question.until, *(after or ()))
    return all(
        text is None or is_name("instance" if name == "owner" else name, text) for name, text in names.items()
    ) and all(number is None or is_number(number) for number in numbers)


def page(history: Table, question: Question, after: Cursor | None) -> Select[Any]:
    """Newest first."""
    statement = rows(history, question.owner).where(*conditions(history, question), *span(history, question, after))
    return statement.order_by(*newest_first(history))


def timeline(history: Table, delivery_id: str, owner: str | None) -> Select[Any]:
    """Oldest first."""
    statement = rows(history, owner).where(history.c.id == delivery_id)
    return statement.order_by(history.c.at, history.c.number)


def kept(columns: Sequence[Any]) -> Kept:
    number, replica, *row = columns
    return Kept(number, replica, Row(*row))


def moments(history: Table, ids: Sequence[str]) -> Select[Any]:
    """What happened to these deliveries, in order of time, as Moments."""
    by = case((history.c.reason == REPLAYED, history.c.error), else_=None)
    columns = (history.c.id, history.c.at, history.c.outcome, history.c.reason, history.c.attempt, by)
    return select(*columns).where(history.c.id.in_(ids)).order_by(history.c.at, history.c.number)


def skipped(history: Table, instance: str, webhook: str, reasons: Sequence[str], since: int) -> Select[Any]:
    """How many deliveries of the webhook were skipped for one of the reasons since then."""
    is_its = (history.c.instance == instance, history.c.webhook == webhook)
    is_skipped = (history.c.outcome == Skipped.__name__, history.c.reason.in_(reasons), history.c.at >= since)
    return select(func.count(history.c.id.distinct())).where(*is_its, *is_skipped)


def rows(history: FromClause, owner: str | None) -> Select[Any]:
    statement = select(history.c.number, history.c.replica, *(history.c[name] for name in Row._fields))
    if owner is None:
        return statement
    # What the operator heard of the instance, and where, is the operator's.
    return statement.where(history.c.instance == owner, history.c.webhook.is_distinct_from(OPERATOR))


def conditions(history: FromClause, question: Question) -> Iterator[ColumnElement[bool] | TextClause]:
    """What is asked for beside the time."""
    for name in FILTERED:
        value = getattr(question, name)
        if value is not None:
            # Rows have canonical addresses. Trade-off: of a number, the rows of all its addresses are read and sorted;
            # an address alone is read in order.
            yield history.c.chat.in_(addresses_meant(value)) if name == "chat" else history.c[name] == value
            if name in USUAL and value != USUAL[name]:
                yield text(UNUSUAL)


def span(history: FromClause, question: Question, after: Cursor | None) -> Iterator[ColumnElement[bool]]:
    """The time that is asked for, from where the page before has ended."""
    if question.since is not None:
        yield history.c.at >= question.since
    if question.until is not None:
        yield history.c.at < question.until
    if after is not None:
        # Not a comparison of pairs: SQLite and MySQL would read an index from its end up to the cursor.
        yield history.c.at <= after.at
        yield (history.c.at < after.at) | (history.c.number < after.number)


def newest_first(history: FromClause) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return history.c.at.desc(), history.c.number.desc()

"""Deletes in chunks: each a short transaction, between which others write. Imports SQLAlchemy (0.4 s)."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Engine, delete, select

ROWS = 5000
MOST_CHUNKS = 100
"""In one call: the next one goes on."""


def delete_before(engine: Engine, column: Column[Any], before: int) -> Iterator[int]:
    """Deletes rows whose `column`, which has an index, is below `before`; yields the count of each chunk.

    A chunk ends at a value, not at a number of rows: MySQL has no LIMIT in a subquery, PostgreSQL none in DELETE.
    """
    old = select(column).where(column < before).order_by(column).offset(ROWS - 1).limit(1)
    for _ in range(MOST_CHUNKS):
        with engine.begin() as connection:
            last = connection.execute(old).scalar()
            chunk = column < before if last is None else column <= last
            yield connection.execute(delete(column.table).where(chunk)).rowcount
        if last is None:
            return

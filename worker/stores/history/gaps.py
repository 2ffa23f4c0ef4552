"""Rows that never arrived, as the holes between a producer's batches show them."""

from collections.abc import Iterable
from typing import NamedTuple

SETTLED_MS = 120_000
"""How long a batch must have been there before the hole in front of it counts: two writers may write out of order."""


class Written(NamedTuple):
    """A batch that is in the database: the number of its first row, its rows, when it was written (Unix ms)."""

    number: int
    rows: int
    written_at: int


class Counted(NamedTuple):
    """Up to `upto` each row has arrived or is one of `lost`."""

    upto: int
    lost: int


def count(since: int, batches: Iterable[Written], now: int) -> Counted:
    """`batches` ascend, from the one after `since`, the number up to which the producer's rows have been counted."""
    upto, lost = since, 0
    for batch in batches:
        hole = batch.number - upto
        if hole > 0 and batch.written_at > now - SETTLED_MS:
            break
        lost += max(hole, 0)
        upto = max(upto, batch.number + batch.rows)
    return Counted(upto, lost)

"""What of a row every database can hold, decided before one sees it: one bad value must not cost a batch.

A text that is shown loses the characters that no database takes (NUL: PostgreSQL; unpaired surrogates: all). A name
that is compared is never changed, as it would become somebody else's: one that may be absent is left out, and a row
that cannot be without it is not written.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from worker.domain.choosing.problem import is_text
from worker.domain.history import Batch, Row
from worker.stores.history.schema import LONGEST_NAMES

Columns = tuple[str | int | None, ...]
"""A row's values in the order of schema.COLUMNS."""

_LARGEST = 2**63 - 1
_NAMES = tuple(name for name in Row._fields if name in LONGEST_NAMES)
_DAY = 86_400_000
AHEAD_DAYS = 2
"""How far a producer's clock may be ahead; partitions are made for as long."""

_NEEDED_NAMES = ("id", "event_id", "outcome", "reason")
_NUMBERS = ("attempt", "status", "ms", "size")
_TEXTS = tuple(name for name in Row._fields if name != "at" and name not in _NUMBERS)


def is_name(column: str, text: str) -> bool:
    """Whether the column can hold exactly this text."""
    return len(text) <= LONGEST_NAMES[column] and "\0" not in text and is_text(text)


def is_number(value: int) -> bool:
    return -_LARGEST <= value <= _LARGEST


def columns_of(batch: Batch, oldest: int, now: int) -> tuple[list[Columns], int]:
    """The batch's rows that are to be written, and how many cannot be. Older ones than `oldest` are neither.

    All three times are Unix ms. A row of a clock that is more than AHEAD_DAYS ahead is kept under `now`.
    """
    replica = batch.replica if is_name("replica", batch.replica) else _shortened(batch.replica)
    if batch.rows and _are_plain(batch.rows, oldest, now):
        return list(map((replica,).__add__, batch.rows)), 0
    written = [_storable(row, now) for row in batch.rows if row.at >= oldest]
    rows: list[Columns] = [(replica, *row) for row in written if row is not None]
    return rows, len(written) - len(rows)


def _are_plain(rows: Sequence[Row], oldest: int, now: int) -> bool:
    """Nothing to mend or to leave out, as in nearly every batch. Column by column it takes 0.7 us a row, and each value
    by itself would 8."""
    columns = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
    at = columns["at"]
    if min(at) < oldest or max(at) >= now + AHEAD_DAYS * _DAY:
        return False
    if not all(map(is_number, {value for name in _NUMBERS for value in columns[name] if value is not None})):
        return False
    found = "".join(filter(None, chain.from_iterable(columns[name] for name in _TEXTS)))
    return (
        all(max(map(len, filter(None, columns[name])), default=0) <= LONGEST_NAMES[name] for name in _NAMES)
        and "\0" not in found
        and is_text(found)
    )


def _storable(row: Row, now: int) -> Row | None:
    row = Row(*map(_mended, Row._fields, row))
    if not all(is_name(name, getattr(row, name)) for name in _NEEDED_NAMES):
        return None
    if not all(is_number(getattr(row, name) or 0) for name in _NUMBERS):
        return None
    return row if row.at < now + AHEAD_DAYS * _DAY else row._replace(at=now)


def _mended(column: str, value: Any) -> Any:
    if not isinstance(value, str) or column in _NEEDED_NAMES:
        return value
    if column in LONGEST_NAMES:
        return value if is_name(column, value) else None
    return _shown(value)


def _shown(text: str) -> str:
    if "\0" not in text and is_text(text):
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _shortened(text: str) -> str:
    return _shown(text)[: LONGEST_NAMES["replica"]]


def is_batch(batch: Batch) -> bool:
    """Whether its name can be kept; without one it could be written twice."""
    return is_name("producer", batch.producer) and 0 <= batch.number <= _LARGEST - len(batch.rows)

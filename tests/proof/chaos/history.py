"""The history of one run: every attempt in its database and in its queue, and how many rows are known to be lost."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import inspect, select

from worker.domain.history import Batch
from worker.history.batches import decode
from worker.stores.database import parse
from worker.stores.engine import engine_of
from worker.stores.history import gaps
from worker.stores.history.schema import BATCHES, history_of

Attempt = tuple[str | None, str | None]
"""`webhook-id` and `webhook-attempt`, as the receiver sees them."""

_NOT_TAKEN = re.compile(r"(\d+) rows of history were not taken by RabbitMQ")
LATER = 2**62


@dataclass(slots=True)
class History:
    """`attempts` by what the receiver saw of them; `lost`: rows that never arrived, as batches and logs count them."""

    attempts: Counter[Attempt] = field(default_factory=Counter)
    lost: int = 0


def history_uri(webhooks: str, folder: Path) -> str:
    """Where the workers keep it, by default."""
    return f"sqlite:///{folder / 'history.db'}" if parse(webhooks).path else webhooks


def history(uri: str, waiting: Iterable[bytes], log: Iterable[str]) -> History:
    """`waiting`: messages of the queue that nobody has written; `log`: lines of the workers'."""
    found, written = _written(uri)
    batches = {(batch.producer, batch.number): batch for batch in map(decode, waiting) if isinstance(batch, Batch)}
    for (producer, number), batch in batches.items():
        if all(known.number != number for known in written[producer]):
            written[producer].append(gaps.Written(number, len(batch.rows), 0))
            found.attempts.update((row.id, str(row.attempt)) for row in batch.rows if row.ms is not None)
    found.lost = sum(gaps.count(0, sorted(of_it), LATER).lost for of_it in written.values())
    found.lost += sum(int(match[1]) for line in log if (match := _NOT_TAKEN.search(line)))
    return found


def _written(uri: str) -> tuple[History, dict[str, list[gaps.Written]]]:
    """What is in the database; nothing if no writer has come to make its tables."""
    engine, found = engine_of(parse(uri), create=True), History()
    written: dict[str, list[gaps.Written]] = defaultdict(list)
    table = history_of(engine.dialect.name)
    with engine.connect() as connection:
        if inspect(connection).has_table(BATCHES.name):
            rows = connection.execute(select(table.c.id, table.c.attempt).where(table.c.ms.is_not(None)))
            found.attempts = Counter((row.id, str(row.attempt)) for row in rows)
            for batch in connection.execute(select(BATCHES)):
                written[batch.producer].append(gaps.Written(batch.number, batch.count, batch.written_at))
    engine.dispose()
    return found, written


UNSENT_SECONDS = 2.0
"""Rows younger than this may not have reached RabbitMQ when their process is killed: a batch waits for a quarter of a
second, its confirm may be slow, and one that failed is tried again after a second."""


ON_ITS_WAY_SECONDS = 0.05
"""A POST of a process that was just killed may still arrive."""


@dataclass(frozen=True, slots=True)
class Span:
    """An attempt as the receiver saw it, in monotonic seconds: from its arrival to its answer (None: it got none)."""

    began: float
    ended: float | None


def may_be_forgotten(span: Span, kills: Sequence[float]) -> bool:
    """Whether its process may have been killed before it could tell: during the attempt, or just after it."""
    return any(
        span.began <= at + ON_ITS_WAY_SECONDS and (span.ended is None or at <= span.ended + UNSENT_SECONDS)
        for at in kills
    )

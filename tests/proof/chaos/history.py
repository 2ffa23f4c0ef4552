"""The history of one run: every attempt in its database and in its queue, and how many rows are known to be lost."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp
from sqlalchemy import inspect, select

from worker.domain.history import Batch
from worker.history.batches import decode
from worker.stores.database import parse
from worker.stores.engine import engine_of
from worker.stores.history import gaps
from worker.stores.history.schema import BATCHES, history_of
from worker.telemetry.metrics import PREFIX

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

FLOWING_SECONDS, LOOK_SECONDS = 20.0, 0.02


@dataclass(frozen=True, slots=True)
class Span:
    """In monotonic seconds. An attempt as the receiver saw it, from its arrival to its answer (`ended` None: it got
    none); or while RabbitMQ took nothing, from its going until it was back (None: it never was)."""

    began: float
    ended: float | None


def may_be_forgotten(attempt: Span, kills: Sequence[float], away: Sequence[Span] = ()) -> bool:
    """Whether its process may have been killed before it could tell: during the attempt, or while its row was in
    memory, which is longer when RabbitMQ was `away`."""
    told_by = None if attempt.ended is None else _told_by(attempt.ended, away)
    return any(attempt.began <= at + ON_ITS_WAY_SECONDS and (told_by is None or at <= told_by) for at in kills)


def _told_by(answered: float, away: Sequence[Span]) -> float | None:
    """When RabbitMQ has the row of an attempt at the latest; None: never."""
    told_by = answered + UNSENT_SECONDS
    for span in sorted(away, key=lambda span: span.began):
        if span.began <= told_by and (span.ended is None or answered <= span.ended):
            if span.ended is None:
                return None
            told_by = max(told_by, span.ended + UNSENT_SECONDS)
    return told_by


class Measured(Protocol):
    """A worker's process (tests/support/worker.py)."""

    async def metrics(self) -> Mapping[str, float]: ...


async def told(worker: Measured, seconds: float = FLOWING_SECONDS) -> str | None:
    """Waits until RabbitMQ has every row that the worker has recorded by now. Returns why it has not, or None."""
    wanted, confirmed, waiting = None, 0.0, 0.0
    try:
        async with asyncio.timeout(seconds):
            while wanted is None or (waiting and confirmed < wanted):
                with suppress(OSError, aiohttp.ClientError):  # it may just be starting
                    found = await worker.metrics()
                    counted, waiting = (found[PREFIX + name] for name in ("history_rows_total", "history_rows_waiting"))
                    confirmed, wanted = counted - waiting, wanted or counted + waiting
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        if wanted is None:
            return f"it did not say within {seconds:g} s how many rows of history wait"
        return f"RabbitMQ had {confirmed:g} of {wanted:g} rows of history after {seconds:g} s, {waiting:g} waited"
    return None

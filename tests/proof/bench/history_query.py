"""The history's questions: the first page of each filter over many rows, in PostgreSQL and SQLite.

The databases make the rows themselves, over seven days: 1,000 instances, 200,000 chats, 97 of 100 delivered at once;
the hundred oldest have values of their own, which an answer finds at the far end. The indexes are made after the rows,
and then some batches are written, so that a row's price is that of a grown table.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from tests.proof.bench.history_rows import DAYS, fill
from tests.proof.bench.ledger import LedgerError
from tests.proof.bench.rig import Rig
from tests.support.postgres import Postgres
from worker.domain.history import Batch, Row
from worker.history.store import HistoryStore, Question
from worker.stores.history.store import history_store

NOW = 1_795_867_200_000
PAGE = 50
RARE = 100
ROUNDS = 5
WRITES = 100
BATCH_ROWS = 500

VALUES: dict[str, tuple[str, str, str]] = {
    "instance": ("'shop-' || (i % 1000)", "shop-77", "'rare'"),
    "webhook": ("CASE WHEN i % 10 < 8 THEN 'default' ELSE 'crm-' || (i % 50) END", "default", "'rare'"),
    "event": ("'EVENT_' || (i * 7 % 12)", "EVENT_3", "'rare'"),
    "chat": ("(5511000000000 + i * 7919 % 200000) || '@s.whatsapp.net'",
             f"{5511000000000 + 10_000 * 7919 % 200_000}@s.whatsapp.net", "'rare'"),
    "outcome": ("CASE WHEN i % 100 < 97 THEN 'Delivered' WHEN i % 100 < 99 THEN 'Retried' ELSE 'DeadLettered' END",
                "Delivered", "'rare'"),
    "reason": ("CASE WHEN i % 100 < 97 THEN 'ok' WHEN i % 100 < 99 THEN '5xx' ELSE 'rejected' END", "5xx", "'rare'"),
    "status": ("CASE WHEN i % 100 < 97 THEN 200 WHEN i % 100 < 99 THEN 503 ELSE 400 END", "503", "418"),
    "id": ("'msg_' || (i * 2654435761 % 1000000007)", f"msg_{10_000 * 2654435761 % 1000000007}", "'rare'"),
}  # fmt: skip
"""Of each column that is asked for: what a row has (in both databases' SQL), a common value, the oldest rows' value."""

_OTHERS = {
    "replica": "'replica-1'",
    "event_id": "'evt_' || i",
    "attempt": "1",
    "ms": "i % 900",
    "size": "800",
    "error": "CASE WHEN i % 100 >= 97 THEN 'answered' END",
    "answer": "CASE WHEN i % 100 >= 97 THEN 'down' END",
    "content_type": "NULL",
    "host": "'hooks.example:443'",
}


def _made() -> dict[str, str]:
    made = {name: f"CASE WHEN i <= {RARE} THEN {rare} ELSE {value} END" for name, (value, _, rare) in VALUES.items()}
    return {**_OTHERS, **made}


def history_query(rig: Rig, *, rows: int) -> Iterator[str]:
    """A table a database: milliseconds, median and worst of five, for each filter and for an owner's."""
    yield f"{rows} rows of {DAYS} days, first page of {PAGE}, ms (median / worst of {ROUNDS}).\n"
    with Postgres() as server:
        uris = {"PostgreSQL": server.create_database("history"), "SQLite": f"sqlite:///{rig.folder}/history.db"}
        for name, uri in uris.items():
            yield from asyncio.run(_measure(name, uri, rows))
    Path(rig.folder, "history.db").unlink()


async def _measure(name: str, uri: str, rows: int) -> list[str]:
    history = history_store(uri, DAYS + 1, lambda: NOW)
    try:
        await history.prepare()
        began = time.monotonic()
        await asyncio.to_thread(fill, uri, rows, NOW, _made())
        lines = [f"{name}, filled in {time.monotonic() - began:.0f} s:\n", "| filter | common | oldest 100 | absent |"]
        lines += ["| --- | --- | --- | --- |", f"| none | {await _time(history, {}, PAGE)} | | |"]
        for column in VALUES:
            lines.append(f"| {column} | {' | '.join(await _cells(history, column))} |")
        lines += ["", f"Health of an instance: {await _health(history)} ms. {await _writes(history)}", ""]
    finally:
        await history.close()
    return lines


async def _cells(history: HistoryStore, column: str) -> list[str]:
    _, common, rare = VALUES[column]
    is_number = column == "status"
    asked = {common: 1, rare.strip("'"): PAGE, "417" if is_number else "nowhere": 0}
    return [await _time(history, {column: int(value) if is_number else value}, least) for value, least in asked.items()]


async def _time(history: HistoryStore, asked: dict[str, Any], least: int) -> str:
    """Raises LedgerError for a page that has other rows than were asked for."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        page = await history.page(Question(None, **asked), None, PAGE)
        taken.append((time.perf_counter() - began) * 1000)
        wrong = [kept for kept in page.items if any(getattr(kept.row, key) != value for key, value in asked.items())]
        if wrong or len(page.items) < least:
            raise LedgerError(f"the first page of {asked} has {len(page.items)} rows, {len(wrong)} of them wrong")
    return f"{median(taken):.1f} / {max(taken):.1f}"


async def _health(history: HistoryStore) -> str:
    began = time.perf_counter()
    if not await history.health("shop-77", NOW):
        raise LedgerError("an instance that had attempts has no health")
    return f"{(time.perf_counter() - began) * 1000:.0f}"


async def _writes(history: HistoryStore) -> str:
    row = Row(NOW, "msg_new", "evt_new", "shop-1", "default", "EVENT_1", "5511000000001@s.whatsapp.net", "Delivered",
              "ok", 1, 200, 12, None, None, None, 800, "hooks.example:443")  # fmt: skip
    batches = [
        Batch("bench", number * BATCH_ROWS, "replica-1", tuple(
            row._replace(id=f"msg_n{number}_{at}", instance=f"shop-{at}", chat=f"{5511000000000 + number * at}@lid")
            for at in range(BATCH_ROWS)))
        for number in range(WRITES)
    ]  # fmt: skip
    cpu, began = time.process_time(), time.monotonic()
    for batch in batches:
        await history.write([batch])
    count = WRITES * BATCH_ROWS / 1e6
    spent, took = (time.process_time() - cpu) / count, (time.monotonic() - began) / count
    return f"A row written: {took:.0f} us, {spent:.0f} us of CPU in the writer's process."

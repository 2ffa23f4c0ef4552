"""What questions read, as PostgreSQL and SQLite plan them over real rows: a page's worth, however many there are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event

from tests.contract.history.conftest import DAY, NOON
from tests.proof.bench.history_rows import DAYS, fill
from tests.proof.bench.pages import BUSY, VALUES
from tests.support.postgres import Postgres
from worker.domain.webhook import Endpoint
from worker.history.store import Cursor, HistoryStore, Question
from worker.stores.database import parse
from worker.stores.engine import engine_of
from worker.stores.history.reading import pages
from worker.stores.history.store import history_store

ROWS = 30_000
PAGE = 50
MOST = 8 * PAGE
"""Rows that a page may read. A question that read a day, or an instance, would read thousands."""

ENDPOINTS = 7_501
"""That VALUES makes. The last hour is a look at each of them, and no row of theirs."""

FEW = 100
"""In place of MOST_ROWS."""

BOUNDED = 16 * FEW
"""For the ends of up to three conditions' rows and what is tried of the narrowest; of a condition that each fourth row
meets, PostgreSQL would rather look at all rows in order of time."""

Ask = Callable[[HistoryStore], Awaitable[Any]]

LIST = [Endpoint(BUSY, "default"), *(Endpoint(f"shop-{number}", "default") for number in range(1, PAGE))]


def page(after: Cursor | None = None, **asked: Any) -> Ask:
    return lambda history: history.page(Question(asked.pop("owner", None), **asked), after, PAGE)


QUESTIONS: dict[str, tuple[Ask, int]] = {
    "trends of a page of webhooks": (lambda history: history.trends(LIST, NOON), 2 * 1440 + PAGE * 20),
    "trends of webhooks beside a busy one": (lambda history: history.trends(LIST[1:], NOON), PAGE * 20),
    "health": (lambda history: history.health(BUSY, NOON), 2 * 1440),
    "the last hour": (lambda history: history.last_hour(None, NOON, ("internal",), 12), 2 * ENDPOINTS + MOST),
    "an owner's": (lambda history: history.last_hour(BUSY, NOON, ("internal",), 12), MOST),
    "no filter": (page(), MOST),
    "from the middle on": (page(Cursor(NOON - 3 * DAY, 2**40)), MOST),
    "an owner's page": (page(owner=BUSY), MOST),
    "a webhook's page": (page(owner=BUSY, instance=BUSY, webhook="default"), MOST),
    "a webhook that has no rows, of an instance with many": (page(instance=BUSY, webhook="quiet"), MOST),
    "an outcome that is nowhere": (page(outcome="DeadLettered"), MOST),
    "a reason that is far away": (page(reason="tls"), MOST),
    "a chat": (page(chat="5511000007919@s.whatsapp.net"), MOST),
    "a number of many rows": (page(chat="120363"), BOUNDED),
    "a webhook's successes of an event that it has not had": (
        page(instance=BUSY, webhook="default", event="CALL", outcome="Delivered"),
        BOUNDED,
    ),
    "an outcome that a webhook has not had": (page(instance=BUSY, webhook="default", outcome="DeadLettered"), BOUNDED),
    "failures of a webhook that has not had any": (page(instance=BUSY, webhook="quiet", outcome="Retried"), BOUNDED),
    "a chat and an event that have not met": (page(chat="status@broadcast", event="CALL"), BOUNDED),
    "an owner's chat that others have, too": (page(owner=BUSY, chat="status@broadcast", event="CALL"), BOUNDED),
    "an event that is everywhere, of no webhook": (page(event="MESSAGES_UPSERT", webhook="quiet"), BOUNDED),
    "successes where nearly all failed": (page(outcome="Delivered", reason="5xx"), BOUNDED),
    "a delivery": (lambda history: history.timeline("msg_4242", None), MOST),
}


class Postgresql:
    """Rows that plans have read, by the table."""

    def __init__(self, server: Postgres) -> None:
        self.uri = server.create_database(f"history_{uuid4().hex}")

    def read_by(self, statements: list[tuple[str, Any]]) -> dict[str, int]:
        found: dict[str, int] = {}
        engine = engine_of(parse(self.uri))
        with engine.connect() as connection:
            for statement, parameters in statements:
                plan = connection.exec_driver_sql(
                    f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters
                ).scalar_one()
                _add_up(found, (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
        engine.dispose()
        return found


def _add_up(found: dict[str, int], node: dict[str, Any]) -> None:
    if "Relation Name" in node:
        name, passed_by = (
            node["Relation Name"],
            node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0),
        )
        found[name] = found.get(name, 0) + int((node["Actual Rows"] + passed_by) * node["Actual Loops"])
    for child in node.get("Plans", ()):
        _add_up(found, child)


class Sqlite:
    """Steps of its virtual machine, and what its plans name: it counts no rows."""

    STEPS = 60
    """A row, at most: the columns of one that is shown, and the sort of its page."""

    def __init__(self, folder: Path) -> None:
        self.uri = f"sqlite:///{folder}/history.db"

    def read_by(self, statements: list[tuple[str, Any]]) -> dict[str, int]:
        engine, found = engine_of(parse(self.uri)), dict[str, int]()
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            for statement, parameters in statements:
                plan = " ".join(row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))
                table = "rows" if "webhook_history " in f"{plan} " else "webhook_history_minutes"
                steps = [0]
                driver.set_progress_handler(lambda steps=steps: steps.__setitem__(0, steps[0] + 10), 10)
                driver.execute(statement, parameters).fetchall()
                driver.set_progress_handler(None, 0)
                found[table] = found.get(table, 0) + steps[0] // self.STEPS
        engine.dispose()
        return found


@pytest.fixture(scope="module", params=["postgres", "sqlite"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Postgresql | Sqlite:
    sqlite = request.param == "sqlite"
    kind = Sqlite(tmp_path_factory.mktemp("plans")) if sqlite else Postgresql(request.getfixturevalue("postgres"))
    asyncio.run(_prepare(kind.uri))
    fill(kind.uri, ROWS, NOON, VALUES)
    return kind


async def _prepare(uri: str) -> None:
    history = history_store(uri, DAYS + 1, lambda: NOON)
    await history.prepare()
    await history.close()


@contextmanager
def noted() -> Iterator[list[tuple[str, Any]]]:
    """The statements that are executed meanwhile."""
    found: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT"):
            found.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def test_a_page_reads_a_pages_worth(filled: Postgresql | Sqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_ROWS", FEW)
    history, read = history_store(filled.uri, DAYS + 1, lambda: NOON), dict[str, dict[str, int]]()
    try:
        for name, (ask, _) in QUESTIONS.items():
            with noted() as statements:
                await ask(history)
            assert statements, name
            read[name] = filled.read_by(statements)
    finally:
        await history.close()
    assert {name: found for name, found in read.items() if sum(found.values()) > QUESTIONS[name][1]} == {}
    for name in ("trends of a page of webhooks", "trends of webhooks beside a busy one", "health"):
        assert read[name].keys() <= {"webhook_history_minutes", "webhook_history_lasts"}, read[name]

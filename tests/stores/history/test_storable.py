"""Which of a row's values no database can hold, and what becomes of them."""

import sqlite3
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from tests.contract.history.conftest import DAY, DELIVERED, NOON, batch
from worker.domain.history import Row
from worker.history.store import Cursor, Question
from worker.stores.history.reading import questions
from worker.stores.history.schema import COLUMNS, FILTERED, LONGEST_NAMES, PARTITIONED, WHOLE
from worker.stores.history.storable import columns_of
from worker.stores.history.store import history_store

TEXT = st.text(st.characters(exclude_categories=[]), max_size=40) | st.text("a\0\ud800é\U0001f525", max_size=300)
NUMBER = st.integers(-(2**70), 2**70)
ANY_ROW = st.builds(
    Row,
    **{
        name: (NUMBER if "int" in str(hint) else TEXT) | (st.none() if "None" in str(hint) else st.nothing())
        for name, hint in get_type_hints(Row).items()
    },
)


@given(ANY_ROW, TEXT)
@example(DELIVERED._replace(instance="\0", answer="\ud83d", chat="c" * 129, webhook="\U0001f525" * 65), "\0" * 300)
def test_what_is_written_fits_every_database(row: Row, replica: str) -> None:
    rows, refused = columns_of(replace(batch(row), replica=replica), 0, NOON)
    assert len(rows) + refused == (row.at >= 0)
    for name, value in zip(COLUMNS, rows[0] if rows else (), strict=bool(rows)):
        if isinstance(value, str):
            assert "\0" not in value
            assert value.encode().decode() == value
            assert len(value) <= LONGEST_NAMES.get(name, len(value))
        elif value is not None:
            assert -(2**63) < value < 2**63


def test_what_fits_is_written_as_it_is() -> None:
    longest = {name: "\U0001f525" * length for name, length in LONGEST_NAMES.items() if name in Row._fields}
    for row in (DELIVERED, DELIVERED._replace(**longest), DELIVERED._replace(answer="é\n\t\\", error="'")):  # type: ignore[arg-type]
        assert columns_of(batch(row), 0, NOON) == ([("replica-1", *row)], 0)


def test_rows_of_the_past_are_left_out_and_those_of_the_future_are_of_now() -> None:
    at = [NOON - 1, NOON, NOON + 2 * DAY - 1, NOON + 2 * DAY]
    rows, refused = columns_of(batch(*(DELIVERED._replace(at=moment) for moment in at)), NOON, NOON)
    assert [row[COLUMNS.index("at")] for row in rows] == [NOON, NOON + 2 * DAY - 1, NOON]
    assert refused == 0


def test_a_batch_without_rows_has_none() -> None:
    assert columns_of(batch(), 0, NOON) == ([], 0)


def test_every_filter_has_an_index_that_gives_its_page_in_order() -> None:
    asked = {field.name for field in fields(Question)} - {"owner", "since", "until"}
    assert set(FILTERED) == asked
    for table, order in ((WHOLE, ["at"]), (PARTITIONED, ["at", "number"])):
        indexes = [[column.name for column in index.columns] for index in table.indexes]
        for name in asked:
            assert [name, *order] in indexes


@pytest.mark.parametrize(("column", "value"), [("outcome", "Parked"), ("reason", "tls"), ("status", 503)])
async def test_sqlite_finds_what_is_unusual_by_its_index(tmp_path: Path, column: str, value: str | int) -> None:
    """It uses an index of some rows only for a statement that repeats its condition word for word."""
    store = history_store(f"sqlite:///{tmp_path}/history.db", 7, lambda: NOON)
    await store.prepare()
    await store.close()
    asked = questions.page(WHOLE, replace(Question(None), **{column: value}), None)
    statement = str(asked.compile(dialect=sqlite.dialect()))
    with closing(sqlite3.connect(tmp_path / "history.db")) as connection:
        ((*_, plan),) = connection.execute(f"EXPLAIN QUERY PLAN {statement}", [value])
    assert plan == f"SEARCH webhook_history USING INDEX webhook_history_{column} ({column}=?)"


@given(
    st.builds(Question, **{field.name: st.none() | st.just("x") for field in fields(Question) if field.name != "owner"})
)
def test_whatever_is_asked_the_owner_is_a_condition_of_its_own(question: Question) -> None:
    for table in (WHOLE, PARTITIONED):
        for statement in (
            questions.page(table, replace(question, owner="acme"), Cursor(NOON, 1)),
            questions.timeline(table, "msg_1", "acme"),
        ):
            conditions = str(statement.whereclause).split(" AND ")
            assert conditions[0] == "webhook_history.instance = :instance_1"
            assert statement.compile().params["instance_1"] == "acme"

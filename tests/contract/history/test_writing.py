"""Batches are written once and whole, whatever their rows hold and whoever else writes."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy

from tests.contract.history.conftest import DAY, DELIVERED, FAILED, NOON, Clock, NewHistory, batch
from worker.domain.history import Row
from worker.history.store import HistoryStore, Question
from worker.stores.database import parse
from worker.stores.engine import engine_of


async def rows_of(history: HistoryStore, question: Question | None = None) -> list[Row]:
    """Newest first."""
    page = await history.page(question or Question(None), None, 500)
    assert page.following is None
    return [kept.row for kept in page.items]


async def test_what_was_written_is_read(history: HistoryStore) -> None:
    rows = (
        DELIVERED,
        FAILED._replace(at=NOON + 1),
        Row(NOON + 2, "evt_9", "evt_9", *[None] * 4, "DeadLettered", "invalid_event", 0, *[None] * 5, 17, None),
    )
    assert await history.write([batch(*rows)]) == 3
    assert await rows_of(history) == [*reversed(rows)]
    page = await history.page(Question(None), None, 1)
    assert page.items[0].replica == "replica-1"


async def test_a_batch_that_comes_again_writes_nothing(history: HistoryStore, new_history: NewHistory) -> None:
    first, second = batch(DELIVERED), batch(FAILED, number=1)
    assert await history.write([first, first]) == 1
    assert await new_history().write([second, first]) == 1
    assert await history.write([first, second]) == 0
    assert len(await rows_of(history)) == 2


async def test_producers_have_numbers_of_their_own(history: HistoryStore) -> None:
    assert await history.write([batch(DELIVERED, producer=name) for name in ("one", "ONE", "one ", "öne")]) == 4


async def test_ten_writers_of_the_same_batches_write_them_once(history: HistoryStore, new_history: NewHistory) -> None:
    batches = [batch(DELIVERED, FAILED, number=number, producer=name) for name in "ab" for number in range(0, 20, 2)]
    writers = [new_history() for _ in range(10)]
    orders = [batches[start:] + batches[:start] for start in range(10)]
    written = await asyncio.gather(
        *(
            writer.write(order[at : at + 5])
            for at in range(0, 20, 5)
            for writer, order in zip(writers, orders, strict=True)
        )
    )
    assert sum(written) == 40
    assert len(await rows_of(history)) == 40


MENDED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"answer": "a\0b"}, {"answer": "a\ufffdb"}),
    ({"error": "\ud83d half"}, {"error": "\ufffd half"}),
    ({"answer": "\U0001f525" * 512}, {"answer": "\U0001f525" * 512}),
    ({"answer": 'tab\t, line\n, \\N, \\., "quote", \''}, {"answer": 'tab\t, line\n, \\N, \\., "quote", \''}),
    ({"instance": "acme\0"}, {"instance": None}),
    ({"instance": "a" * 256}, {"instance": None}),
    ({"instance": "\U0001f525" * 255}, {"instance": "\U0001f525" * 255}),
    ({"chat": "5" * 10_000}, {"chat": None}),
    ({"event": "\ud800"}, {"event": None}),
    ({"webhook": ""}, {"webhook": ""}),
    ({"size": 2**40, "ms": 2**40}, {"size": 2**40, "ms": 2**40}),
]


async def test_a_text_that_no_database_takes_is_mended_and_a_name_left_out(history: HistoryStore) -> None:
    rows = [DELIVERED._replace(at=NOON + at, **given) for at, (given, _) in enumerate(MENDED)]
    assert await history.write([batch(*rows)]) == len(rows)
    expected = [DELIVERED._replace(at=NOON + at, **kept) for at, (_, kept) in enumerate(MENDED)]
    assert await rows_of(history) == expected[::-1]


UNSTORABLE: list[dict[str, Any]] = [
    *({"id": "a\0"}, {"id": "i" * 129}, {"reason": "\ud800"}, {"size": 2**63}, {"status": -(2**70)})
]


async def test_a_row_that_cannot_be_kept_is_left_out_alone_and_logged(
    history: HistoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [DELIVERED._replace(**wrong) for wrong in UNSTORABLE]
    with caplog.at_level(logging.WARNING):
        assert await history.write([batch(DELIVERED, *bad, FAILED)]) == 2
    assert [record.rows for record in caplog.records] == [len(bad)]  # type: ignore[attr-defined]
    assert set(await rows_of(history)) == {DELIVERED, FAILED}


@pytest.mark.usefixtures("own_database")
async def test_a_row_that_the_database_itself_refuses_is_left_out_alone_and_logged(
    history: HistoryStore, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator's own rule on the table stands for what nobody has thought of."""
    refuse_hosts_named_refused(uri)
    rows = [DELIVERED._replace(at=NOON + at, host="refused" if at in (3, 7) else "h") for at in range(10)]
    with caplog.at_level(logging.WARNING):
        assert await history.write([batch(*rows)]) == 8
    assert len(caplog.records) == 2
    assert await rows_of(history) == [row for row in reversed(rows) if row.host == "h"]


def refuse_hosts_named_refused(uri: str) -> None:
    engine = engine_of(parse(uri))
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql(
                "CREATE TRIGGER refuse BEFORE INSERT ON webhook_history WHEN NEW.host = 'refused' "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        else:
            connection.execute(sqlalchemy.text("ALTER TABLE webhook_history ADD CHECK (host <> 'refused')"))
    engine.dispose()


async def test_a_batch_without_a_usable_name_is_not_written(history: HistoryStore) -> None:
    bad = [batch(DELIVERED, producer=name) for name in ("", "p" * 129, "\0")]
    assert await history.write([*bad[1:], replace(bad[0], producer="ok", number=-1), batch(DELIVERED)]) == 1


async def test_rows_that_are_too_old_are_left_out(history: HistoryStore) -> None:
    rows = [DELIVERED._replace(at=at) for at in (0, -1, NOON - 7 * DAY - 1, NOON - 7 * DAY, NOON)]
    assert await history.write([batch(*rows)]) == 2
    assert [row.at for row in await rows_of(history)] == [NOON, NOON - 7 * DAY]


async def test_a_clock_far_ahead_counts_as_the_writers(history: HistoryStore, clock: Clock) -> None:
    rows = [DELIVERED._replace(at=at) for at in (NOON + 2 * DAY - 1, NOON + 2 * DAY, NOON + 3650 * DAY, 2**70)]
    assert await history.write([batch(*rows)]) == 4
    assert [row.at for row in await rows_of(history)] == [NOON + 2 * DAY - 1, NOON, NOON, NOON]

"""Rows of history by the million, made by the database itself; its indexes come after them."""

from collections.abc import Mapping

from sqlalchemy import Engine, Index, text

from worker.stores.database import parse
from worker.stores.engine import engine_of
from worker.stores.history import counters
from worker.stores.history.kinds import DAY_MS
from worker.stores.history.partitioned import Partitioned
from worker.stores.history.schema import COLUMNS, history_of

DAYS = 7
"""Over which the rows are spread evenly."""


def fill(uri: str, rows: int, now: int, values: Mapping[str, str]) -> None:
    """`values`: of each column but `at` an SQL expression over `i`, 1 for the oldest row. The last one is of `now`
    (Unix ms). The tables are there, and empty."""
    engine = engine_of(parse(uri), unhurried=True)
    history = history_of(engine.dialect.name)
    if engine.dialect.name == "postgresql":
        Partitioned().make_ready(engine, [now - day * DAY_MS for day in range(DAYS + 1)])
    indexes = sorted(history.indexes, key=lambda index: str(index.name))
    with engine.begin() as connection:
        for index in indexes:
            index.drop(connection)
    _insert(engine, rows, now, values)
    for index in indexes:
        _create(engine, index)
    with engine.begin() as connection:
        counters.count_anew(connection, history)
        counters.total_anew(connection)
    with engine.connect() as connection:
        connection.exec_driver_sql("ANALYZE" if engine.dialect.name == "postgresql" else "PRAGMA analysis_limit = 1000")
        connection.commit()
    engine.dispose()


def _insert(engine: Engine, rows: int, now: int, values: Mapping[str, str]) -> None:
    step = DAYS * DAY_MS // rows
    made = {**values, "at": f"{now - rows * step} + i * {step}"}
    source = f"generate_series(1, CAST({rows} AS bigint)) AS series(i)"
    columns = ", ".join(COLUMNS)
    series = f"WITH RECURSIVE series(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < {rows}) "
    is_sqlite = engine.dialect.name == "sqlite"
    statement = f"SELECT {', '.join(made[name] for name in COLUMNS)} FROM {'series' if is_sqlite else source}"
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO webhook_history ({columns}) {series if is_sqlite else ''}{statement}"))


def _create(engine: Engine, index: Index) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '1GB'")
        index.create(connection)

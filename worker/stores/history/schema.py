"""The history's tables in SQLAlchemy's words. Imports SQLAlchemy (0.4 s).

PostgreSQL keeps a partition a day (UTC), so that a day goes by DROP; the others keep one table.

Trade-off: a row has an entry in each of seven indexes, which cost more than the row itself. Five answer the first page
of one filter each, newest first, whatever its value; one that of none; one that of a webhook among an instance's. Four
more have only the rows that are not as nearly all are: three of one filter each, and one of an instance. How webhooks
fare is counted beside the rows, minute by minute (MINUTES, LASTS, TOTALS), so that no question reads them for it.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Identity, Index, Integer, MetaData, Table, text

from worker.domain.history import Row
from worker.stores.types import LONG, Name
from worker.stores.versions import version_table

LONGEST_NAMES = {
    "id": 128,
    "event_id": 128,
    "instance": 255,
    "webhook": 80,
    "event": 128,
    "chat": 128,
    "outcome": 64,
    "reason": 64,
    "replica": 255,
    "producer": 128,
}
"""Characters of each column that is compared."""

FILTERED = ("instance", "webhook", "event", "chat", "outcome", "reason", "status", "id")
"""Each has an index of its own: the first page of any single filter reads a page's rows, also of a value that is
nowhere."""

USUAL: dict[str, str | int] = {"outcome": "Delivered", "reason": "ok", "status": 200}
"""Of nearly every row: whoever asks for it finds a page of them at once, among the newest rows."""

UNUSUAL = "(outcome <> 'Delivered' OR reason <> 'ok' OR status <> 200)"
"""SQL. Only such rows are in the indexes of these three columns (SQLite, PostgreSQL), which saves a sixth of a row's
price. A statement must say it word for word, or the index is not used. Trade-off: where next to nothing was delivered
for days, a page of what was looks at the newest rows (reading/pages.py) and may be short."""

OF_ENDPOINT = "webhook_history_endpoint"
OF_UNUSUAL = "webhook_history_unusual"
"""An instance's rows that are UNUSUAL: whoever looks for what went wrong with one instance reads no other."""

HAS_UNUSUAL = ("sqlite", "postgresql")
"""MySQL has no index of some rows alone."""

_NEEDED = frozenset({"at", "id", "event_id", "outcome", "reason", "attempt", "size", "replica"})
_NUMBERS = frozenset({"at", "attempt", "status", "ms", "size"})
_INNODB = "InnoDB"

COLUMNS = ("replica", *Row._fields)
"""What is written of a row, in the order of its tuple."""


def _column(name: str) -> Column[Any]:
    if name in LONGEST_NAMES:
        return Column(name, Name(LONGEST_NAMES[name]), nullable=name not in _NEEDED)
    return Column(name, BigInteger if name in _NUMBERS else LONG, nullable=name not in _NEEDED)


_OF_UNUSUAL: dict[str, Any] = {f"{dialect}_where": text(UNUSUAL) for dialect in HAS_UNUSUAL}


def _has_unusual(*_: object, dialect: Dialect, **__: object) -> bool:
    return dialect.name in HAS_UNUSUAL


def _add_indexes(table: Table, *order: Column[Any]) -> None:
    """`order` is that of the rows of one value."""
    for name in FILTERED:
        Index(f"webhook_history_{name}", table.c[name], *order, **(_OF_UNUSUAL if name in USUAL else {}))
    Index(OF_ENDPOINT, table.c.instance, table.c.webhook, *order)
    Index(OF_UNUSUAL, table.c.instance, *order, **_OF_UNUSUAL).ddl_if(callable_=_has_unusual)


def _whole() -> Table:
    """SQLite, MySQL, MariaDB: their indexes end with the primary key by themselves."""
    table = Table(
        "webhook_history",
        MetaData(),
        Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        *map(_column, COLUMNS),
        mysql_engine=_INNODB,
        mariadb_engine=_INNODB,
    )
    Index("webhook_history_at", table.c.at)
    _add_indexes(table, table.c.at)
    return table


def _partitioned() -> Table:
    """PostgreSQL. `at` is part of the key, as it must be of a partitioned table's."""
    table = Table(
        "webhook_history",
        MetaData(),
        Column("at", BigInteger, primary_key=True, autoincrement=False),
        Column("number", BigInteger, Identity(), primary_key=True),
        *(_column(name) for name in COLUMNS if name != "at"),
        postgresql_partition_by="RANGE (at)",
    )
    _add_indexes(table, table.c.at, table.c.number)
    return table


WHOLE, PARTITIONED = _whole(), _partitioned()


def _of_endpoints(name: str, *columns: Column[Any]) -> Table:
    """A row of each endpoint, or several; SQLite keeps them in the order of their key, without a second tree."""
    return Table(
        name,
        MetaData(),
        Column("instance", Name(LONGEST_NAMES["instance"]), primary_key=True),
        Column("webhook", Name(LONGEST_NAMES["webhook"]), primary_key=True),
        *columns,
        sqlite_with_rowid=False,
        mysql_engine=_INNODB,
        mariadb_engine=_INNODB,
    )


MINUTES = _of_endpoints(
    "webhook_history_minutes",
    Column("minute", BigInteger, primary_key=True, autoincrement=False, index=True),
    Column("attempts", BigInteger, nullable=False),
    Column("delivered", BigInteger, nullable=False),
)
"""What became of an endpoint's attempts within one minute (counters.py): kept for a day."""

LASTS = _of_endpoints(
    "webhook_history_lasts",
    Column("success", BigInteger, nullable=False),
    Column("failure", BigInteger, nullable=False),
)
"""When an endpoint's last attempts of either kind ended, Unix ms; 0: none within the history."""

TOTALS = Table(
    "webhook_history_totals",
    MetaData(),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("attempts", BigInteger, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    mysql_engine=_INNODB,
    mariadb_engine=_INNODB,
)
"""The sums of MINUTES: of 10,000 endpoints, an hour of them has up to 600,000 rows."""

BATCHES = Table(
    "webhook_history_batches",
    MetaData(),
    Column("producer", Name(LONGEST_NAMES["producer"]), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("written_at", BigInteger, nullable=False, index=True),
    mysql_engine=_INNODB,
    mariadb_engine=_INNODB,
)
"""The name of each batch that has been written, how many rows it had, and when (Unix ms) a writer wrote it."""

PRODUCERS = Table(
    "webhook_history_producers",
    MetaData(),
    Column("producer", Name(LONGEST_NAMES["producer"]), primary_key=True),
    Column("counted", BigInteger, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    mysql_engine=_INNODB,
    mariadb_engine=_INNODB,
)
"""`counted`: below this number each of the producer's rows has arrived or has been counted as lost."""

TROUBLES = Table(
    "webhook_history_troubles",
    MetaData(),
    Column("instance", Name(LONGEST_NAMES["instance"]), primary_key=True),
    Column("webhook", Name(LONGEST_NAMES["webhook"]), primary_key=True),
    Column("kind", Name(16), primary_key=True),
    Column("leased", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False),
    Column("state", LONG, nullable=False),
    mysql_engine=_INNODB,
    mariadb_engine=_INNODB,
)
"""What is wrong with an endpoint, as JSON (domain/notices/trouble.py), how often that was written, and until when (Unix
ms) somebody is telling it."""

JOBS = Table(
    "webhook_history_replays",
    MetaData(),
    Column("id", Name(LONGEST_NAMES["id"]), primary_key=True),
    Column("instance", Name(LONGEST_NAMES["instance"]), nullable=False),
    Column("webhook", Name(LONGEST_NAMES["webhook"]), nullable=False),
    Column("state", Name(16), nullable=False),
    Column("created_at", BigInteger, nullable=False, index=True),
    Column("leased", BigInteger, nullable=False),
    Column("stop", Integer, nullable=False),
    Column("job", LONG, nullable=False),
    mysql_engine=_INNODB,
    mariadb_engine=_INNODB,
)
"""Replays, as JSON (replay/jobs.py): until when (Unix ms) a process has it, and whether it is to stop."""

LISTENING = Table(
    "webhook_history_listening",
    MetaData(),
    Column("instance", Name(LONGEST_NAMES["instance"]), primary_key=True),
    *(
        Column(name, BigInteger, nullable=False)
        for name in ("message", "other", "connected", "connection", "opened", "silent", "look", "hour", "minutes")
    ),
    Column("usual", LONG, nullable=False),
    mysql_engine=_INNODB,
    mariadb_engine=_INNODB,
)
"""What is known of an instance's messages (Listening in domain/silence/pulse.py): times in Unix ms, truths as 0 and 1,
`minutes` a bit each, `usual` the habits as JSON: the hour in which they begin, and weeks, mean and mean of squares of
each."""

Index("webhook_history_listening_look", LISTENING.c.silent, LISTENING.c.look)

VERSIONS = version_table("webhook_history_schema")


def history_of(dialect: str) -> Table:
    return PARTITIONED if dialect == "postgresql" else WHOLE

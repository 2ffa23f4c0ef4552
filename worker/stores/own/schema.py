"""The worker's own tables in SQLAlchemy's words. Imports SQLAlchemy (0.4 s)."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table

from worker.stores.types import LONG, Name
from worker.stores.versions import version_table
from worker.webhooks import scalars as kinds
from worker.webhooks.declaration import FIELDS, Field
from worker.webhooks.store import LONGEST_INSTANCE

_METADATA = MetaData()
_INNODB = "InnoDB"


def _column(field: Field) -> Column[Any]:
    """SQL's type of a declared field, whose kind says what is stored."""
    match field.kind:
        case kinds.Name(most):
            return Column(field.name, Name(most), primary_key=True)
        case kinds.Flag() | kinds.Whole():
            return Column(field.name, Integer, nullable=not field.since_first)
    return Column(field.name, LONG, nullable=not field.since_first)


WEBHOOKS = Table(
    "webhooks",
    _METADATA,
    *map(_column, FIELDS),
    Column("disabled_reason", LONG),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("failing_since", BigInteger),
    Column("disabled_at", BigInteger),
    Column("paused_at", BigInteger),
    Column("order_next", LONG),
    Column("order_switch_at", BigInteger),
    Column("resumed_at", BigInteger),
    mysql_engine=_INNODB,
    mariadb_engine=_INNODB,
)

REVISIONS = Table(
    "webhook_revisions",
    _METADATA,
    Column("instance", Name(LONGEST_INSTANCE), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("order_left", LONG),
    mysql_engine=_INNODB,
    mariadb_engine=_INNODB,
)
"""One row an instance, kept when its webhooks go, so that revisions never fall; also the writers' lock.

`order_left`: the order of webhooks that were deleted lately (see deleted.py)."""

SCHEMA = version_table("webhook_schema")

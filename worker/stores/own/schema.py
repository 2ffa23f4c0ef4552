"""The worker's own tables in SQLAlchemy's words. Imports SQLAlchemy (0.4 s)."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects.mysql import LONGTEXT, VARBINARY
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from worker.webhooks import scalars as kinds
from worker.webhooks.declaration import FIELDS, Field
from worker.webhooks.store import LONGEST_INSTANCE


class Name(TypeDecorator[str]):
    """A name that is compared byte for byte and ordered by code point.

    MySQL's text collations fold case or ignore trailing spaces (even utf8mb4_bin); VARBINARY does not.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if _is_mysql(dialect):
            return dialect.type_descriptor(VARBINARY(self.length * 4))
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(String(self.length, collation=collation))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        return value.encode() if value is not None and _is_mysql(dialect) else value

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return value.decode() if isinstance(value, bytes) else value


def _is_mysql(dialect: Dialect) -> bool:
    return dialect.name in ("mysql", "mariadb")


_LONG = Text().with_variant(LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")
_METADATA = MetaData()
_INNODB = "InnoDB"


def _column(field: Field) -> Column[Any]:
    """SQL's type of a declared field, whose kind says what is stored."""
    match field.kind:
        case kinds.Name(most):
            return Column(field.name, Name(most), primary_key=True)
        case kinds.Flag() | kinds.Whole():
            return Column(field.name, Integer, nullable=not field.since_first)
    return Column(field.name, _LONG, nullable=not field.since_first)


WEBHOOKS = Table(
    "webhooks",
    _METADATA,
    *map(_column, FIELDS),
    Column("disabled_reason", _LONG),
    Column("revision", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("failing_since", BigInteger),
    mysql_engine=_INNODB,
    mariadb_engine=_INNODB,
)

REVISIONS = Table(
    "webhook_revisions",
    _METADATA,
    Column("instance", Name(LONGEST_INSTANCE), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    mysql_engine=_INNODB,
    mariadb_engine=_INNODB,
)
"""One row an instance, kept when its webhooks go, so that revisions never fall; also the writers' lock."""

SCHEMA = Table(
    "webhook_schema",
    _METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    mysql_engine=_INNODB,
    mariadb_engine=_INNODB,
)
"""One row (id 1): the number of migrations applied."""

"""SQL types that hold for every database. Imports SQLAlchemy (0.4 s)."""

from typing import Any

from sqlalchemy import String, Text
from sqlalchemy.dialects.mysql import LONGTEXT, VARBINARY
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


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


LONG = Text().with_variant(LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")
"""Text that is stored and never compared."""

"""The steps from no schema to today's. No SQLAlchemy here: a start on an up-to-date SQLite file only counts them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CreateTables:
    """The tables as schema.py has them today."""


@dataclass(frozen=True, slots=True)
class AddColumn:
    """A column of `webhooks` (or of the revisions), as schema.py has it; it holds NULL in the rows that are there."""

    name: str
    of_revisions: bool = False


Step = CreateTables | AddColumn

CHOICES = (
    *("ignore", "only_chats", "except_chats", "message_types", "filter"),
    *("media", "thumbnails", "max_body_bytes", "ttl_seconds", "latest_only"),
)

TLS = ("client_certificate", "ca")

STEPS: tuple[Step, ...] = (
    CreateTables(),
    AddColumn("failing_since"),
    *map(AddColumn, CHOICES),
    *map(AddColumn, TLS),
    AddColumn("alert_url"),
    AddColumn("disabled_at"),
    AddColumn("paused_at"),
    AddColumn("order"),
    AddColumn("order_block_seconds"),
    AddColumn("order_next"),
    AddColumn("order_switch_at"),
    AddColumn("resumed_at"),
    AddColumn("order_left", of_revisions=True),
)
"""Append only. Each can be repeated after a crash in its middle: MySQL commits every DDL statement."""

SCHEMA_VERSION = len(STEPS)

"""Where history is kept when nothing says it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from worker.stores.database import Database, parse

FILE = "history.db"


def default_database(others: Mapping[str, Any]) -> Database:
    """The worker's own database where that is a server, and else a file: SQLite has one writer at a time, and webhooks
    must not wait for history. Not Evolution's database: it is somebody else's. `others`: the settings above."""
    webhooks: Database = others["database_connection_uri"]
    own = others["webhook_source"] == "own"
    if own and webhooks.path is None:
        return webhooks
    path = webhooks.path.with_name(FILE) if own and webhooks.path is not None else FILE
    return replace(parse(f"sqlite:///{quote(str(path))}"), setting="HISTORY_DATABASE_URI")

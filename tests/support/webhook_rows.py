"""Thousands of webhooks at once, past the commands."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path


def set_webhooks(database: Path, urls: Mapping[str, str], orders: Mapping[str, str] | None = None) -> None:
    """Instance -> URL, otherwise as a webhook that is there: the worker's table holds these alone then.

    `orders`: instance -> `order`, of those that have one.
    """
    with closing(sqlite3.connect(database)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(webhooks)")]
        template = connection.execute("SELECT * FROM webhooks LIMIT 1").fetchone()
        one = dict(zip(columns, template, strict=True))
        connection.execute("DELETE FROM webhooks")
        rows = [
            tuple({**one, "instance": name, "url": url, "order": (orders or {}).get(name)}.values())
            for name, url in urls.items()
        ]
        connection.executemany(f"INSERT INTO webhooks VALUES ({','.join('?' * len(columns))})", rows)

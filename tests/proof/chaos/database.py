"""The webhook store of one run, and what can happen to it."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from tests.proof.chaos.subscriptions import Subscription
from tests.support.postgres import Postgres
from worker.broker.announcements import announce_once
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore


class Database:
    """A SQLite file, or a database of a PostgreSQL server that a fault may stop."""

    def __init__(self, folder: Path, postgres: Postgres | None) -> None:
        self.postgres = postgres
        self.file = folder / "webhooks.db"
        self.uri = postgres.create_database(f"chaos_{secrets.token_hex(4)}") if postgres else f"sqlite:///{self.file}"
        self._store = SqlStore(self.uri, lambda: int(time.time() * 1000))

    async def fill(self, cast: tuple[Subscription, ...], base: str) -> None:
        await self._store.migrate()
        for subscription in cast:
            await self._store.put(subscription.webhook(base))

    async def change(self, webhook: Webhook, broker_uri: str, config_exchange: str) -> None:
        """As `webhook set` does: written, then told to every replica."""
        written = await self._store.put(webhook)
        await announce_once(broker_uri, config_exchange, webhook.instance, written.revision)

    @asynccontextmanager
    async def replaced(self, content: bytes | None) -> AsyncIterator[None]:
        """Meanwhile the SQLite file holds `content`, or is gone (None); afterwards it is back as it was.

        What stands beside it belongs to the other content, and goes with that. Of a file that was gone it is its own:
        taken away from under a connection that a worker has open, it would leave two processes with a log each, and
        the file damaged (sqlite.org/howtocorrupt.html, 2.4).
        """
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        away = self.file.with_suffix(".away")
        self.file.rename(away)
        try:
            if content is not None:
                self.file.write_bytes(content)
            yield
        finally:
            for suffix in ("-wal", "-shm") if content is not None else ():
                self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
            away.rename(self.file)

    @asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Meanwhile the PostgreSQL server does not run."""
        assert self.postgres is not None
        await asyncio.to_thread(self.postgres.stop)
        try:
            yield
        finally:
            await asyncio.to_thread(self.postgres.start)

    async def close(self) -> None:
        await self._store.close()

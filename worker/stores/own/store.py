"""The worker's own table as a store: SQLite, PostgreSQL, MySQL and MariaDB."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from worker.basics.importing import importing
from worker.domain.webhook import Endpoint, Webhook
from worker.stores.database import Database, parse, sqlite_problem
from worker.stores.own.row import PLAIN, from_row
from worker.stores.own.sealing import Sealer
from worker.stores.own.sqlite_reader import SqliteReader
from worker.stores.own.steps import SCHEMA_VERSION
from worker.stores.threads import let_end
from worker.webhooks.store import Deleted, Page, Renewed, Stored, Written, storable

if TYPE_CHECKING:
    from worker.stores.own.table import WebhookTable

THREADS = 4
"""Blocking calls at a time; as many connections to a server."""

T = TypeVar("T")


class SqlStore:
    """A WritableStore. Nothing is opened before the first call; drivers run in threads of its own.

    Raises ValueError for a URI that is none.
    """

    def __init__(
        self,
        uri: str | Database,
        now_ms: Callable[[], int],
        sealer: Sealer = PLAIN,
        forgotten_seconds: float = 150.0,
    ) -> None:
        """`forgotten_seconds`: after its deletion no replica knows a webhook any more."""
        self._forgotten_seconds = forgotten_seconds
        self._database = parse(uri)
        self._sealer = sealer
        self._now_ms = now_ms
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        self._making = Lock()
        self._made: WebhookTable | None = None
        self._reader = SqliteReader(self._database.path) if self._database.path else None

    async def load(self, instance: str) -> tuple[Webhook, ...]:
        """See webhooks/store.py, Store."""
        if not storable(instance):
            return ()
        return await self._run(lambda: self._load(instance))

    async def get(self, instance: str) -> tuple[Stored, ...]:
        """See webhooks/store.py, WritableStore, as for all that follow."""
        return await self._run(lambda: self._table().get(instance)) if storable(instance) else ()

    async def list(self, after: Endpoint | None, limit: int) -> Page:
        return await self._run(lambda: self._list(after, limit))

    async def put(self, webhook: Webhook) -> Written:
        return await self._run(lambda: self._table().put(webhook))

    async def put_if_unchanged(self, webhook: Webhook, seen: int) -> Written | None:
        return await self._run(lambda: self._table().put_if_unchanged(webhook, seen))

    async def delete(self, instance: str, webhook_id: str | None) -> Deleted | None:
        if not storable(instance):
            return None
        return await self._run(lambda: self._table().delete(instance, webhook_id))

    async def instances(self) -> tuple[str, ...]:
        return await self._run(self._instances)

    async def disable(self, seen: Webhook, reason: str, *, if_failing: bool = False) -> int | None:
        return await self._run(lambda: self._table().disable(seen, reason, if_failing=if_failing))

    async def failing(self, seen: Webhook, since: int | None) -> int | None:
        return await self._run(lambda: self._table().failing(seen, since))

    async def reencrypt(self) -> Renewed:
        """Every sealed column under the first key of WEBHOOK_SECRET_KEY, plain ones too. Safe to interrupt and repeat.

        Nothing is announced: no webhook's configuration changes.
        """
        return await self._run(lambda: self._table().reencrypt())

    async def migrate(self) -> int:
        return await self._run(self._migrate)

    async def migrated(self) -> bool:
        """Whether the tables are there and up to date. Raises StoreUnavailable."""
        return await self._run(self._version) == SCHEMA_VERSION

    async def check(self) -> None:
        """See webhooks/store.py, Store. A file or table that `run` creates may be missing, its folder may not."""
        await self._run(self._check)

    async def close(self) -> None:
        """A call that hangs ends within its own timeout, after this."""
        await let_end(self._threads)
        for part in (self._reader, self._made):
            if part is not None:
                await asyncio.to_thread(part.close)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _table(self) -> "WebhookTable":
        with self._making:
            if self._made is None:
                with importing():
                    from worker.stores.own.table import WebhookTable  # noqa: PLC0415 - see sqlite_reader.py

                    self._made = WebhookTable(self._database, self._now_ms, self._sealer, self._forgotten_seconds)
            return self._made

    def _load(self, instance: str) -> tuple[Webhook, ...]:
        if self._reader is None:
            return tuple(stored.webhook for stored in self._table().get(instance))
        with _sqlite_errors_mapped(self._database):
            rows = self._reader.rows(instance)
        return tuple(from_row(row, self._sealer).webhook for row in rows)

    def _list(self, after: Endpoint | None, limit: int) -> Page:
        if self._reader is None:
            return self._table().list(after, limit)
        with _sqlite_errors_mapped(self._database):
            rows = self._reader.page(("", "") if after is None else (after.instance, after.webhook_id), limit + 1)
        items = tuple(from_row(row, self._sealer) for row in rows[:limit])
        return Page(items, items[-1].webhook.endpoint if len(rows) > limit else None)

    def _instances(self) -> tuple[str, ...]:
        if self._reader is None:
            return self._table().instances()
        with _sqlite_errors_mapped(self._database):
            return self._reader.instances()

    def _migrate(self) -> int:
        return SCHEMA_VERSION if self._version() == SCHEMA_VERSION else self._table().migrate()

    def _version(self) -> int | None:
        if self._reader is None:
            return self._table().version()
        with _sqlite_errors_mapped(self._database):
            return self._reader.version()

    def _check(self) -> None:
        version = self._version()
        if version is not None and version > SCHEMA_VERSION:
            raise self._database.unavailable(f"its schema has version {version}, made by a newer worker")
        if version == SCHEMA_VERSION:
            self._check_writable()
        elif self._database.path is not None:
            _check_folder(self._database, self._database.path)

    def _check_writable(self) -> None:
        if self._reader is None:
            self._table().check_writable()
            return
        with _sqlite_errors_mapped(self._database):
            self._reader.check_writable()


@contextmanager
def _sqlite_errors_mapped(database: Database) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise database.unavailable("does not exist: run `webhook-worker migrate`, or restore it") from None
    except (sqlite3.Error, OSError) as error:
        raise database.unavailable(sqlite_problem(str(error))) from error


def _check_folder(database: Database, path: Path) -> None:
    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise database.unavailable(sqlite_problem("unable to open"))

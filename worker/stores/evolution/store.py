"""WEBHOOK_SOURCE=evolution: the webhooks that Evolution 2.x itself keeps, read and never written.

`load` asks the tables. `watch` compares them every two seconds with what it saw before, and announces which
instances differ; the optional NOTIFY trigger (deploy/sql) makes it compare at once. An instance that was deleted
keeps its last known webhook for an hour, for the events of its deletion.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from worker.basics.importing import importing
from worker.domain.webhook import Endpoint, Webhook
from worker.stores.database import SETTING, Database, parse
from worker.stores.evolution.row import Row, farewell, stored
from worker.stores.evolution.watch import Snapshot, Watch
from worker.stores.paging import page
from worker.stores.threads import let_end
from worker.webhooks.store import Changed, Page, RowDamaged, Stored, StoreUnavailable, storable

if TYPE_CHECKING:
    from worker.stores.evolution.tables import EvolutionTables

THREADS = 4

log = logging.getLogger(__name__)

T = TypeVar("T")


class EvolutionStore:
    """A WatchedStore. Nothing is opened before the first call; the driver runs in threads of its own.

    `clock` is monotonic; `setting` is where the URI came from, for texts. Raises ValueError for a URI that is none
    of PostgreSQL or MySQL.
    """

    def __init__(
        self,
        uri: str | Database,
        *,
        take_all: bool,
        clock: Callable[[], float],
        poll_seconds: float = 2.0,
        setting: str = SETTING,
    ) -> None:
        self._database = replace(parse(uri), setting=setting)
        if self._database.dialect == "sqlite":
            raise ValueError("must be Evolution's postgresql:// or mysql://")
        self._take_all = take_all
        self._poll_seconds = poll_seconds
        self._notify = self._database.dialect == "postgresql"
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="evolution")
        self._making = Lock()
        self._made: EvolutionTables | None = None
        self._snapshot = Snapshot(clock)

    async def load(self, instance: str) -> tuple[Webhook, ...]:
        """See webhooks/store.py, Store."""
        return tuple(item.webhook for item in await self.get(instance))

    async def get(self, instance: str) -> tuple[Stored, ...]:
        """See webhooks/store.py, ListableStore, as for all that follow."""
        if not storable(instance):
            return ()
        found = await self._run(lambda: self._tables().find(instance))
        if found is False:
            return self._farewell(instance)
        self._snapshot.forget(instance)
        row = self._stored(found) if isinstance(found, Row) else None
        return (row,) if row else ()

    async def list(self, after: Endpoint | None, limit: int) -> Page:
        """Rows that cannot be read are left out, with a line in the log."""
        look = await self._run(lambda: self._tables().look(None))
        readable = [self._readable(row) for row in look.rows]
        found = page((item for item in readable if isinstance(item, Stored)), after, limit)
        unreadable = tuple(item for item in readable if isinstance(item, str))
        return replace(found, unreadable=unreadable) if after is None else found

    async def instances(self) -> tuple[str, ...]:
        """All of Evolution's: events of an instance without a webhook can be the global one's."""
        return await self._run(lambda: self._tables().names())

    async def token_owner(self, token: str) -> str | None:
        """The instance that this token (`Instance.token`) belongs to. Raises StoreUnavailable."""
        if not storable(token) or not token:
            return None
        owners = await self._run(lambda: self._tables().owners(token))
        return owners[0] if len(owners) == 1 else None

    async def check(self) -> None:
        await self._run(lambda: self._tables().check())

    async def close(self) -> None:
        """A call that hangs ends within its own timeout, after this."""
        await let_end(self._threads)
        if self._made is not None:
            await asyncio.to_thread(self._made.close)

    async def watch(self, changed: Changed, missed: Callable[[], None]) -> None:
        """See webhooks/store.py, WatchedStore. Outages are waited for."""
        watch = Watch(
            self._snapshot,
            look=lambda since: self._run(lambda: self._tables().look(since)),
            token=lambda: self._run(lambda: self._tables().token()),
            named=lambda names: self._run(lambda: self._tables().named(names)),
            changed=changed,
            missed=missed,
            clock=self._clock,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll(watch))
            if self._notify:
                from worker.stores.evolution.notify import listen  # noqa: PLC0415 - needs the driver

                group.create_task(listen(self._database, watch.ask))

    async def _poll(self, watch: Watch) -> None:
        down = False
        while True:
            try:
                await watch.step()
            except StoreUnavailable as error:
                if not down:
                    log.warning("changes in Evolution's database cannot be seen: %s", error)
                down = True
            else:
                if down:
                    log.info("changes in Evolution's database are seen again")
                down = False
            await watch.wait(self._poll_seconds)

    def _farewell(self, instance: str) -> tuple[Stored, ...]:
        row = self._snapshot.last_known(instance)
        known = self._stored(row) if row else None
        webhook = farewell(known.webhook) if known else None
        if known is None or webhook is None:
            return ()
        return (Stored(webhook, known.revision, known.created_at, known.updated_at),)

    def _stored(self, row: Row) -> Stored | None:
        return stored(row, take_all=self._take_all)

    def _readable(self, row: Row) -> Stored | str | None:
        """A text: what is wrong with the row."""
        try:
            return self._stored(row)
        except RowDamaged as error:
            log.warning("%s", error)
            return str(error)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _tables(self) -> "EvolutionTables":
        with self._making:
            if self._made is None:
                with importing():
                    from worker.stores.evolution.tables import EvolutionTables  # noqa: PLC0415 - see sqlite_reader.py

                    self._made = EvolutionTables(self._database)
            return self._made

"""WEBHOOK_SOURCE=file: webhooks from a TOML file that others write, as GitOps does.

A watcher looks at the file four times a second (one `stat`, symbolic links followed, so that an atomic rename
and Kubernetes' swap of a ConfigMap's folder are seen) and reads it once it is the same at two looks: a file
that is being written in place is not read half. A version that is broken, or gone, changes nothing.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from worker.domain.webhook import UNORDERED, Endpoint, Webhook
from worker.stores.file.format import LARGEST, BrokenFile, parse
from worker.stores.paging import page
from worker.webhooks.store import Changed, Page, Stored, StoreUnavailable

LOOK_SECONDS = 0.25

log = logging.getLogger(__name__)

Identity = tuple[int, int, int, int]
"""Device, inode, time of change in nanoseconds, size: what differs when the content does."""

Rows = dict[str, tuple[Stored, ...]]
"""Instance -> its webhooks in order of id."""


class FileStore:
    """A WatchedStore. The file is read at the first call, and again when it has changed: by `watch`, or by the calls
    of a process that does not watch (the API alone, a command)."""

    def __init__(
        self,
        path: Path,
        look_seconds: float = LOOK_SECONDS,
        *,
        setting: str = "WEBHOOK_FILE",
        read: Callable[[bytes], tuple[Webhook, ...]] = parse,
    ) -> None:
        """`setting` named the path, for texts; `read` makes webhooks of the content, or raises BrokenFile."""
        self._path = path
        self._setting = setting
        self._parse = read
        self._look_seconds = look_seconds
        self._rows: Rows | None = None
        self._reading = asyncio.Lock()
        self._identity: Identity | None = None
        self._revision = 0
        self._watched = False

    async def load(self, instance: str) -> tuple[Webhook, ...]:
        """See webhooks/store.py, Store."""
        return tuple(stored.webhook for stored in await self.get(instance))

    async def get(self, instance: str) -> tuple[Stored, ...]:
        """See webhooks/store.py, ListableStore, as for all that follow."""
        return (await self._current()).get(instance, ())

    async def list(self, after: Endpoint | None, limit: int) -> Page:
        return page((stored for rows in (await self._current()).values() for stored in rows), after, limit)

    async def instances(self) -> tuple[str, ...]:
        return tuple(await self._current())

    async def check(self) -> None:
        """Reads the file. Raises StoreUnavailable with every problem."""
        await self._current()

    async def close(self) -> None:
        """Nothing is open between two looks."""

    async def watch(self, changed: Changed, missed: Callable[[], None]) -> None:  # noqa: ARG002 - the port's signature
        """See webhooks/store.py, WatchedStore."""
        self._watched = True
        before = self._look()
        while True:
            await asyncio.sleep(self._look_seconds)
            now = self._look()
            if now == before and now != self._identity:
                await self._reload(changed)
            before = now

    async def _current(self) -> Rows:
        if self._rows is not None and not self._watched and self._look() != self._identity:
            await self._reload(lambda *_: None)
        async with self._reading:
            if self._rows is not None:
                return self._rows
            rows, self._identity = await asyncio.to_thread(self._read)
            self._rows = rows
            return rows

    async def _reload(self, changed: Changed) -> None:
        async with self._reading:
            # Whatever becomes of it, this version is not looked at again.
            self._identity = self._look()
            try:
                rows, self._identity = await asyncio.to_thread(self._read)
            except StoreUnavailable as error:
                log.error("%s; the version before it stays in force", error)
                return
            old, self._rows = self._rows or {}, rows
        names = [name for name in {**old, **rows} if _webhooks(old, name) != _webhooks(rows, name)]
        log.info("%s %s was read again: %d instances changed", self._setting, self._path, len(names))
        for name in names:
            changed(name, self._revision)

    def _read(self) -> tuple[Rows, Identity]:
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                content = file.read(LARGEST + 1)
            webhooks = self._parse(content)
            _refuse_order(webhooks)
        except OSError as error:
            raise self._unavailable(f"cannot be read: {error.strerror or error}") from None
        except BrokenFile as error:
            raise self._unavailable(str(error)) from None
        self._revision += 1
        written = status.st_mtime_ns // 1_000_000
        return _by_instance([Stored(webhook, self._revision, written, written) for webhook in webhooks]), _of(status)

    def _look(self) -> Identity | None:
        try:
            return _of(self._path.stat())
        except OSError:
            return None

    def _unavailable(self, problem: str) -> StoreUnavailable:
        return StoreUnavailable(f"{self._setting} {self._path}: {problem}")


def _refuse_order(webhooks: Iterable[Webhook]) -> None:
    """Raises BrokenFile. A new version of a file would change the order of a webhook while its events are on their way,
    on each replica at another moment: they would be lost or turned round."""
    for webhook in webhooks:
        if webhook.order != UNORDERED:
            name = f"webhook {webhook.id!r} of {webhook.instance!r}"
            raise BrokenFile([f"{name}: order needs webhooks in the worker's own table (WEBHOOK_SOURCE=own)"])


def _of(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _by_instance(stored: list[Stored]) -> Rows:
    found: dict[str, list[Stored]] = {}
    for item in stored:
        found.setdefault(item.webhook.instance, []).append(item)
    return {name: tuple(sorted(items, key=lambda item: item.webhook.id)) for name, items in found.items()}


def _webhooks(rows: Rows, instance: str) -> tuple[Webhook, ...]:
    return tuple(stored.webhook for stored in rows.get(instance, ()))

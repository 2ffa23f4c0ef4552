"""EVOLUTION_WEBHOOK_FILE: what Evolution's rows have no columns for, from a TOML file beside them.

Evolution's row says what Evolution has (URL, events, headers, ...); the file's table of the same instance and id says
all the rest, and never the same: a field that the row has is refused in the file.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from worker.domain.webhook import DEFAULT_ID, Endpoint, Webhook
from worker.stores.file.format import BrokenFile, Table, parse
from worker.stores.file.store import FileStore
from worker.webhooks.declaration import CONTENT
from worker.webhooks.fields import InvalidWebhook, Problem, webhook_from
from worker.webhooks.store import Changed, Page, Stored, WatchedStore

SETTING = "EVOLUTION_WEBHOOK_FILE"

EVERY = "*"
"""In the place of an instance: each one that has no table of its own."""

_OF_EVOLUTION = frozenset(field.name for field in CONTENT if field.evolution is not None)
_OURS = tuple(field for field in CONTENT if field.evolution is None)


def file_beside(path: Path) -> FileStore:
    """The file as a store whose webhooks hold only what is the worker's own of each."""
    return FileStore(path, setting=SETTING, read=_webhooks)


def _webhooks(content: bytes) -> tuple[Webhook, ...]:
    """An empty file is one that was cut off: taken as it is, every webhook would hear everything."""
    found = parse(content, _read)
    if not found:
        raise BrokenFile(["it holds no [[webhook]] table: to have none, leave the setting empty"])
    return found


def _read(table: Table) -> Webhook:
    theirs = [name for name in table if name in _OF_EVOLUTION]
    problems = [Problem(name, "Evolution's own row says it: change it there") for name in theirs]
    if table.get("id", DEFAULT_ID) != DEFAULT_ID:
        problems.append(Problem("id", f"must be {DEFAULT_ID}, or left out: Evolution has one webhook an instance"))
    if problems:
        raise InvalidWebhook(tuple(problems))
    return webhook_from({"url": "http://evolution.invalid", **table})


class Beside:
    """A WatchedStore: Evolution's rows, completed from the file. `rows` are asked first; `file` is `file_beside`'s."""

    def __init__(self, rows: WatchedStore, file: FileStore) -> None:
        self._rows = rows
        self._file = file
        self._revision = 0
        self._without_table: set[str] = set()

    async def load(self, instance: str) -> tuple[Webhook, ...]:
        """See webhooks/store.py, Store."""
        return tuple(stored.webhook for stored in await self.get(instance))

    async def get(self, instance: str) -> tuple[Stored, ...]:
        """See webhooks/store.py, ListableStore, as for all that follow."""
        return tuple([await self._completed(stored) for stored in await self._rows.get(instance)])

    async def list(self, after: Endpoint | None, limit: int) -> Page:
        found = await self._rows.list(after, limit)
        return replace(found, items=tuple([await self._completed(stored) for stored in found.items]))

    async def instances(self) -> tuple[str, ...]:
        return await self._rows.instances()

    async def check(self) -> None:
        await self._file.check()
        await self._rows.check()

    async def close(self) -> None:
        await self._rows.close()

    async def watch(self, changed: Changed, missed: Callable[[], None]) -> None:
        """See webhooks/store.py, WatchedStore. The numbers are this store's own: both parts count from 1."""

        def told(instance: str, _: int) -> None:
            self._revision += 1
            changed(instance, self._revision)

        def file_told(instance: str, number: int) -> None:
            for name in tuple(self._without_table) if instance == EVERY else (instance,):
                told(name, number)

        async with asyncio.TaskGroup() as group:
            group.create_task(self._rows.watch(told, missed))
            group.create_task(self._file.watch(file_told, missed))

    async def unused(self, webhooks: Iterable[Webhook]) -> tuple[Endpoint, ...]:
        """The file's entries for webhooks that are not among these."""
        there = {webhook.endpoint for webhook in webhooks}
        named = [name for name in await self._file.instances() if name != EVERY]
        entries = [webhook.endpoint for name in named for webhook in await self._file.load(name)]
        return tuple(endpoint for endpoint in entries if endpoint not in there)

    async def _completed(self, stored: Stored) -> Stored:
        row = stored.webhook
        entry = await self._entry(row.instance)
        if entry is None:
            return stored
        ours = [field.attributes(field.value_in(entry)) for field in _OURS]
        attributes = {name: value for found in ours for name, value in found.items()}
        return replace(stored, webhook=replace(row, **attributes))

    async def _entry(self, instance: str) -> Webhook | None:
        own = await self._file.load(instance)
        (self._without_table.discard if own else self._without_table.add)(instance)
        return next(iter(own or await self._file.load(EVERY)), None)

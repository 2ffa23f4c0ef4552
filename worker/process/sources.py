"""WEBHOOK_SOURCE: what each kind of source can do, and the store that it makes. One entry in `KINDS` each.

Apart from wiring.py, so that the `webhook` commands load nothing else; nothing is opened here.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from worker.domain.webhook import Endpoint, Webhook
from worker.settings.settings import Settings
from worker.stores.database import SETTING, Database, parse
from worker.stores.own.sealing import Sealer
from worker.stores.own.store import SqlStore
from worker.stores.read_only import ReadOnly
from worker.webhooks.fields import fields_of
from worker.webhooks.store import WatchedStore, WritableStore
from worker.webhooks.transfer import Candidate, from_evolution, readable_and_not

if TYPE_CHECKING:
    from worker.stores.evolution.store import EvolutionStore

_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}


EVOLUTIONS_OWN = "Evolution's own POST /webhook/set/{instance}"


@dataclass(frozen=True, slots=True)
class WebhookSource:
    """`store` refuses writes by the name of the setting when it is `watched` (others write it).

    `prepare` is repeated until it works; `at_start` must work before anything else does. `migrated` says, without
    changing anything, whether `prepare` has nothing left to make. `unused`: what is configured for webhooks that are
    not among the given ones, which are all.
    """

    store: WritableStore
    prepare: Callable[[], Awaitable[object]]
    watched: WatchedStore | None = None
    token_owner: Callable[[str], Awaitable[str | None]] | None = None
    """The instance that has a token; None: none has."""
    close_tokens: Callable[[], Awaitable[None]] | None = None
    """Where tokens are looked up elsewhere than in the store."""
    at_start: Callable[[], Awaitable[None]] | None = None
    migrated: Callable[[], Awaitable[bool]] | None = None
    unused: Callable[[Iterable[Webhook]], Awaitable[tuple[Endpoint, ...]]] | None = None

    async def close(self) -> None:
        """The store, and what beside it is asked for tokens."""
        await self.store.close()
        if self.close_tokens is not None:
            await self.close_tokens()

    @property
    def writable(self) -> WritableStore | None:
        """Where webhooks can be changed, or None."""
        return self.store if self.watched is None else None


@dataclass(frozen=True, slots=True)
class SourceKind:
    """What is known of a source before its store is made, so also when its driver is missing.

    `own_table`: the webhooks are in the worker's own table, which it migrates and writes. `in_database`: they are in
    the database of DATABASE_CONNECTION_URI. `lists_every_instance`: also those without a webhook.
    `elsewhere` says where webhooks are changed when not by `webhook set`.
    `make` opens nothing. It raises StoreUnavailable when the database's driver is not installed.
    """

    name: str
    make: Callable[[Settings], WebhookSource]
    own_table: bool = False
    in_database: bool = True
    lists_every_instance: bool = False
    elsewhere: Callable[[Settings], str] | None = None

    def database(self, settings: Settings) -> Database | None:
        """Where the webhooks are; None: in no database."""
        return settings.database_connection_uri if self.in_database else None


_CLOCKS_SECONDS = 30.0
"""By which the clocks of two replicas may differ."""


def source_kind(settings: Settings) -> SourceKind:
    """The kind that WEBHOOK_SOURCE names."""
    return KINDS[settings.webhook_source]


def webhook_source(settings: Settings) -> WebhookSource:
    """The source that WEBHOOK_SOURCE names. Raises StoreUnavailable when the database's driver is not installed."""
    source = source_kind(settings).make(settings)
    if settings.instance_tokens_uri is None:
        return source
    tokens = tokens_of(settings.instance_tokens_uri)
    return replace(source, token_owner=tokens.token_owner, close_tokens=tokens.close)


def tokens_of(database: Database) -> "EvolutionStore":
    """Evolution's database, to be asked whose token one is. Raises StoreUnavailable without its driver."""
    from worker.stores.evolution.store import EvolutionStore  # noqa: PLC0415 - only where it is asked

    require_driver(database)
    return EvolutionStore(database, take_all=False, clock=time.monotonic, setting=database.setting)


def own_store(settings: Settings) -> SqlStore:
    """The worker's own table, whatever WEBHOOK_SOURCE says. Raises StoreUnavailable without its driver."""
    require_driver(settings.database_connection_uri)
    sealer = Sealer(settings.webhook_secret_key)
    forgotten = 2 * settings.cache_ttl_seconds + _CLOCKS_SECONDS
    return SqlStore(settings.database_connection_uri, lambda: int(time.time() * 1000), sealer, forgotten)


async def evolution_candidates(uri: str) -> tuple[list[Candidate], tuple[str, ...]]:
    """The webhooks of another Evolution's database, whichever Evolution it is, told by the tables that exist.

    And what is wrong with each row that cannot be read. Where both keep theirs, an instance of the same name is
    Evolution API's. Raises ValueError for what is no such URI, StoreUnavailable.
    """
    database = replace(parse(uri), setting="SOURCE")
    if database.dialect == "sqlite":
        raise ValueError("must be Evolution's postgresql:// or mysql://")
    require_driver(uri)
    from worker.stores.evolution import go  # noqa: PLC0415 - imports SQLAlchemy

    of_go, beside = await asyncio.to_thread(go.candidates, database)
    if of_go is not None and not beside:
        return of_go, ()
    webhooks, unreadable = await _evolution_api_webhooks(uri)
    of_api = [from_evolution(fields_of(webhook), webhook.instance) for webhook in webhooks]
    taken = {candidate.instance for candidate in of_api}
    return of_api + [candidate for candidate in of_go or () if candidate.instance not in taken], unreadable


async def _evolution_api_webhooks(uri: str) -> tuple[list[Webhook], tuple[str, ...]]:
    """All of them, and what is wrong with each row that cannot be read. Raises StoreUnavailable."""
    source = evolution_source(uri, take_all=True, setting="SOURCE")
    try:
        await source.store.check()
        found, unreadable = await readable_and_not(source.store)
        return [item.webhook for item in found], unreadable
    finally:
        await source.store.close()


def evolution_source(uri: str | Database, *, take_all: bool, setting: str = SETTING) -> WebhookSource:
    """Evolution's own tables. Raises StoreUnavailable without the driver, ValueError for what is no such URI."""
    from worker.stores.evolution.store import EvolutionStore  # noqa: PLC0415 - only for this source

    require_driver(uri)
    evolution = EvolutionStore(uri, take_all=take_all, clock=time.monotonic, setting=setting)
    store = ReadOnly(evolution, "evolution", f"use {EVOLUTIONS_OWN}")
    return WebhookSource(store, evolution.check, watched=evolution, token_owner=evolution.token_owner)


def require_driver(uri: str | Database) -> None:
    """Raises StoreUnavailable that names the missing package."""
    database = parse(uri)
    driver = _DRIVERS.get(database.dialect)
    if driver and find_spec(driver) is None:
        extra = f"pip install 'evolution-webhook-worker[{database.dialect}]'"
        raise database.unavailable(f"the driver {driver} is not installed: {extra}")


def _own(settings: Settings) -> WebhookSource:
    store = own_store(settings)
    return WebhookSource(store, store.migrate, migrated=store.migrated)


def _evolution(settings: Settings) -> WebhookSource:
    """With a file beside it, a broken one stops the start: without its filters webhooks would hear everything."""
    source = evolution_source(settings.database_connection_uri, take_all=settings.evolution_take_all)
    if not settings.evolution_webhook_file:
        return source
    assert source.watched is not None
    from worker.stores.beside import SETTING, Beside, file_beside  # noqa: PLC0415 - only for this source

    path = Path(settings.evolution_webhook_file)
    file = file_beside(path)
    beside = Beside(source.watched, file)
    store = ReadOnly(beside, "evolution", f"use {EVOLUTIONS_OWN}, and {SETTING} ({path}) for what it does not have")
    return replace(source, store=store, watched=beside, at_start=file.check, unused=beside.unused)


def _file(settings: Settings) -> WebhookSource:
    """A TOML file. A broken one stops the start: nothing else would say that no webhook is served."""
    from worker.stores.file.store import FileStore  # noqa: PLC0415 - only for this source

    path = Path(settings.webhook_file)
    file = FileStore(path)
    return WebhookSource(ReadOnly(file, "file", f"edit {path}"), file.check, watched=file, at_start=file.check)


def _in_evolution(settings: Settings) -> str:
    return EVOLUTIONS_OWN if settings.evolution_take_all else f"{EVOLUTIONS_OWN}, its url as worker+https://HOST/PATH"


KINDS = {
    kind.name: kind
    for kind in (
        SourceKind("own", _own, own_table=True),
        SourceKind("evolution", _evolution, lists_every_instance=True, elsewhere=_in_evolution),
        SourceKind("file", _file, in_database=False, elsewhere=lambda settings: f"edit {settings.webhook_file}"),
    )
}

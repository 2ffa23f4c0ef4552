"""WEBHOOK_SOURCE: the store that the settings name. Nothing is opened yet."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from worker.stores.database import SETTING, parse
from worker.stores.own.sealing import Sealer
from worker.stores.own.store import SqlStore
from worker.stores.read_only import ReadOnly
from worker.webhooks.store import WatchedStore, WritableStore

_DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}


@dataclass(frozen=True, slots=True)
class Source:
    """`store` refuses writes by the name of the setting when it is `watched` (others write it).

    `prepare` is repeated until it works; `at_start` must work before anything else does. `migrated` says, without
    changing anything, whether `prepare` has nothing left to make.
    """

    store: WritableStore
    prepare: Callable[[], Awaitable[object]]
    watched: WatchedStore | None = None
    token_owner: Callable[[str], Awaitable[str | None]] | None = None
    at_start: Callable[[], Awaitable[None]] | None = None
    migrated: Callable[[], Awaitable[bool]] | None = None

    @property
    def writable(self) -> WritableStore | None:
        """Where webhooks can be changed, or None."""
        return self.store if self.watched is None else None


def own_source(uri: str, secret_key: str) -> Source:
    """The worker's own table. Raises StoreUnavailable without its driver."""
    store = own_table(uri, secret_key)
    return Source(store, store.migrate, migrated=store.migrated)


def own_table(uri: str, secret_key: str) -> SqlStore:
    """Raises StoreUnavailable without its driver."""
    require_driver(uri)
    return SqlStore(uri, lambda: int(time.time() * 1000), Sealer(secret_key))


def file_source(path: Path) -> Source:
    """A TOML file. A broken one stops the start: nothing else would say that no webhook is served."""
    from worker.stores.file.store import FileStore  # noqa: PLC0415 - only for this source

    file = FileStore(path)
    store = ReadOnly(file, "file", f"edit {path}")
    return Source(store, file.check, watched=file, at_start=file.check)


def evolution_source(uri: str, *, take_all: bool, setting: str = SETTING) -> Source:
    """Evolution's own tables. Raises StoreUnavailable without the driver, ValueError for what is no such URI."""
    from worker.stores.evolution.store import EvolutionStore  # noqa: PLC0415 - only for this source

    require_driver(uri)
    evolution = EvolutionStore(uri, take_all=take_all, clock=time.monotonic, setting=setting)
    store = ReadOnly(evolution, "evolution", "use Evolution's own POST /webhook/set/{instance}")
    return Source(store, evolution.check, watched=evolution, token_owner=evolution.token_owner)


def require_driver(uri: str) -> None:
    """Raises StoreUnavailable that names the missing package."""
    database = parse(uri)
    driver = _DRIVERS.get(database.dialect)
    if driver and find_spec(driver) is None:
        extra = f"pip install 'evolution-webhook-worker[{database.dialect}]'"
        raise database.unavailable(f"the driver {driver} is not installed: {extra}")

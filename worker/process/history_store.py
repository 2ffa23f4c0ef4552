"""The history's database, and who asks it. Apart from history.py, so that a command that asks loads no broker."""

import time

from worker.history.asking import Asking
from worker.process.sources import require_driver
from worker.settings.settings import Settings
from worker.stores.history.store import Store, history_store

now = time.time


def store_of_history(settings: Settings) -> Store:
    """Opens nothing. Raises StoreUnavailable without the database's driver."""
    require_driver(settings.history_database_uri)
    return history_store(settings.history_database_uri, settings.history_days)


def asking(settings: Settings) -> Asking | None:
    """For whoever asks the history; None: HISTORY is off. Raises StoreUnavailable without the database's driver."""
    if settings.history == "off":
        return None
    path = settings.history_database_uri.path

    def missing() -> str | None:
        return None if path is None or path.exists() else f"there is no history yet: nobody has written {path}"

    return Asking(store_of_history(settings), missing, now)

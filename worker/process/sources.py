"""From WEBHOOK_SOURCE to a store. Apart from wiring.py, so that the `webhook` commands load nothing else."""

from pathlib import Path

from worker.domain.webhook import Webhook
from worker.settings.settings import Settings
from worker.stores.own.store import SqlStore
from worker.stores.sources import Source, evolution_source, file_source, own_source, own_table
from worker.webhooks.transfer import everything


def webhook_source(settings: Settings) -> Source:
    """Nothing is opened yet. Raises StoreUnavailable when the database's driver is not installed."""
    match settings.webhook_source:
        case "file":
            return file_source(Path(settings.webhook_file))
        case "evolution":
            return evolution_source(settings.database_connection_uri, take_all=settings.evolution_take_all)
        case "own":
            return own_source(settings.database_connection_uri, settings.webhook_secret_key)


def own_store(settings: Settings) -> SqlStore:
    """The worker's own table, whatever WEBHOOK_SOURCE says. Raises StoreUnavailable without its driver."""
    return own_table(settings.database_connection_uri, settings.webhook_secret_key)


async def evolution_webhooks(uri: str) -> list[Webhook]:
    """All that can be read of another Evolution database. Raises ValueError for what is none, StoreUnavailable."""
    source = evolution_source(uri, take_all=True, setting="SOURCE")
    try:
        await source.store.check()
        return [item.webhook for item in await everything(source.store)]
    finally:
        await source.store.close()

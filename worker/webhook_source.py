"""From WEBHOOK_SOURCE to a store. Apart from wiring.py, so that the `webhook` commands load nothing else."""

from pathlib import Path

from worker.settings import Settings
from worker.webhooks.sources import Source, evolution_source, file_source, own_source


def webhook_source(settings: Settings) -> Source:
    """Nothing is opened yet. Raises StoreUnavailable when the database's driver is not installed."""
    match settings.webhook_source:
        case "file":
            return file_source(Path(settings.webhook_file))
        case "evolution":
            return evolution_source(settings.database_connection_uri, take_all=settings.evolution_take_all)
        case "own":
            return own_source(settings.database_connection_uri)

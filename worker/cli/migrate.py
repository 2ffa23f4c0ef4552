"""`webhook-worker migrate`: the worker's own tables, of webhooks and of history, brought up to date."""

import argparse

from worker.cli.common import DONE, Subparsers, add_command, say, say_json
from worker.settings.settings import Settings


def add_to(commands: Subparsers) -> None:
    text = "create or update the worker's own tables; `run` does it too; safe when many do it at once"
    add_command(commands, "migrate", text, _migrate)


async def _migrate(options: argparse.Namespace, settings: Settings) -> int:
    from worker.process.sources import own_store, source_kind  # noqa: PLC0415 - heavy; see cli/__init__.py

    if not source_kind(settings).own_table:
        version, text = None, f"nothing to migrate with WEBHOOK_SOURCE={settings.webhook_source}"
    else:
        store = own_store(settings)
        try:
            version = await store.migrate()
        finally:
            await store.close()
        text = f"the schema has version {version}"
    kept = await _migrate_history(settings)
    say_json({"version": version, "history": kept}) if options.json else say(text)
    return DONE


async def _migrate_history(settings: Settings) -> bool:
    """False: there is none."""
    from worker.process.history_store import store_of_history  # noqa: PLC0415

    if settings.history == "off":
        return False
    store = store_of_history(settings)
    try:
        await store.prepare()
    finally:
        await store.close()
    return True

"""`webhook-worker history-writer`: writes history without delivering."""

import argparse

from worker.cli.common import WRONG, Subparsers, add_command, complain
from worker.settings.settings import Settings


def add_to(commands: Subparsers) -> None:
    add_command(commands, "history-writer", "only write the history of deliveries, until SIGTERM", _run, daemon=True)


async def _run(_: argparse.Namespace, settings: Settings) -> int:
    from worker.process.history import run_history_writer  # noqa: PLC0415 - heavy; see cli/__init__.py

    if settings.history == "off":
        complain("HISTORY is off: there is nothing to write")
        return WRONG
    return await run_history_writer(settings)

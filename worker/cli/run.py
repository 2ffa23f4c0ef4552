"""`webhook-worker run`: the daemon."""

import argparse

from worker.cli.common import Subparsers, add_command
from worker.settings import Settings


def add_to(commands: Subparsers) -> None:
    add_command(commands, "run", "consume, deliver and serve metrics until SIGTERM", _run, daemon=True)


async def _run(_: argparse.Namespace, settings: Settings) -> int:
    from worker.app import run  # noqa: PLC0415 - only the daemon needs all of it

    return await run(settings)

"""`webhook-worker run`: the daemon."""

import argparse
import os

from worker.basics.importing import importing
from worker.cli.common import WRONG, Subparsers, add_command, complain, config_option
from worker.settings import traces as settings_traces
from worker.settings.settings import Settings


def add_to(commands: Subparsers) -> None:
    add_command(commands, "run", "consume, deliver and serve metrics until SIGTERM", _run, daemon=True)


async def _run(options: argparse.Namespace, settings: Settings) -> int:
    problem = settings_traces.problem(os.environ)
    if problem:
        complain(problem)
        return WRONG
    with importing():  # a tenth of the start was the collector, looking through classes for garbage
        from worker.process.run import run  # noqa: PLC0415 - only the daemon needs all of it

    return await run(settings, config_option(options))

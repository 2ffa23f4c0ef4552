"""`webhook-worker`: one parser, one place for exit codes.

Exit codes: 0 done, or stopped by a signal after a clean drain; 1 it could not be done; 2 wrong usage or
settings; 130 or 143 a second signal cut the drain short.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from logging import getLogger

import uvloop

from worker import __version__
from worker.basics.printable import make_writable
from worker.cli import api, check, dead, doctor, history, history_writer, migrate, notices, replay, run
from worker.cli.common import WRONG, Command, Parser, complain, output
from worker.cli.webhook import commands as webhook
from worker.settings.settings import Settings, SettingsError, load
from worker.telemetry.log import configure
from worker.webhooks.store import StoreUnavailable


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point of the console script; returns the exit code."""
    make_writable(sys.stdout)
    make_writable(sys.stderr)
    typed = sys.argv[1:] if arguments is None else arguments
    unreadable = _unreadable(typed)
    if unreadable:
        return _refused(unreadable)
    options = parser().parse_args(typed)
    try:
        settings, warnings = load(os.environ, options.config)
    except SettingsError as error:
        return _refused(error.problems)
    configure(settings.log_level if options.daemon else "warning", settings.log_format if options.daemon else "text")
    for warning in warnings:
        getLogger("worker.settings.settings").warning(warning)
    command: Command = options.command
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_completed(command, options, settings))


def parser() -> argparse.ArgumentParser:
    """All commands. Modules with heavy imports make them when their command runs, so that each starts fast."""
    top = Parser(
        prog="webhook-worker",
        description="Delivers the events of Evolution API from RabbitMQ to each instance's webhook.",
        epilog="exit codes: 0 done; 1 it could not be done; 2 wrong usage or settings; 130, 143 cut short",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="command")
    for module in (run, api, history_writer, check, doctor, migrate, webhook, history, notices, replay, dead):
        module.add_to(commands)
    return top


async def _completed(command: Command, options: argparse.Namespace, settings: Settings) -> int:
    try:
        return await command(options, settings)
    except OSError as error:
        return complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except StoreUnavailable as error:
        return complain(str(error))
    finally:
        output.flush()


def _unreadable(arguments: Sequence[str]) -> list[str]:
    """Bytes that are not UTF-8 reach Python as unpaired surrogates, which no store, broker or terminal takes."""
    numbers = [number for number, text in enumerate(arguments, 1) if any("\ud800" <= char <= "\udfff" for char in text)]
    return [f"argument {number} is not UTF-8 text" for number in numbers]


def _refused(problems: Sequence[str]) -> int:
    for problem in problems:
        complain(problem)
    return WRONG

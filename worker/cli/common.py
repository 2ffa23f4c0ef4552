"""What the commands share: options, output, exit codes."""

import argparse
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from worker.settings import Settings

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Subparsers = Any

Command = Callable[[argparse.Namespace, Settings], Awaitable[int]]

DONE, FAILED, WRONG = 0, 1, 2


def add_command(
    commands: Subparsers, name: str, help_text: str, command: Command, *, daemon: bool = False
) -> argparse.ArgumentParser:
    """A subparser with the options that every command has."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text)
    parser.add_argument("--config", type=Path, metavar="FILE", help="a worker.toml; the environment overrides it")
    if not daemon:
        parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(command=command, daemon=daemon)
    return parser


def count(text: str) -> int:
    """Reader of a number of things, for options. Raises what argparse turns into exit code 2."""
    if text.isascii() and text.isdigit() and int(text[:12]) > 0:
        return int(text[:12])
    raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text[:40]!r}")


def say(text: str) -> None:
    """A line for people, on standard output."""
    sys.stdout.write(text + "\n")


def printable(text: str) -> str:
    """What others wrote (names of queues and instances, a receiver's answer) reaches no terminal as a command."""
    return "".join(char if char.isprintable() else "?" for char in text)


def say_json(value: object) -> None:
    """One JSON document, on standard output."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode() + "\n")


def complain(text: str) -> int:
    """A line on standard error; the exit code of what could not be done."""
    sys.stderr.write(f"webhook-worker: {text}\n")
    return FAILED

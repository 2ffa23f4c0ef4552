"""What the commands share: options, output, exit codes."""

import argparse
import io
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import orjson

from worker.basics.masking import MASK
from worker.basics.printable import printable, printable_lines
from worker.settings.settings import Settings

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Subparsers = Any

Command = Callable[[argparse.Namespace, Settings], Awaitable[int]]

DONE, FAILED, WRONG = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """Also of its subcommands. An error is one line, and quotes no argument that may be a secret, or an address with a
    password."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._typed = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        for typed in filter(lambda argument: "://" in argument, self._typed):
            value = typed.partition("=")[2] if typed.startswith("-") else typed
            for form in (repr(value)[1:-1], value):
                message = message.replace(form, MASK)
        if message.startswith(_UNKNOWN):
            message = _UNKNOWN + " ".join(map(_name_alone, message.removeprefix(_UNKNOWN).split()))
        self.exit(WRONG, printable(f"{self.prog}: error: {message} (see {self.prog} --help)") + "\n")


_UNKNOWN = "unrecognized arguments: "


def _name_alone(typed: str) -> str:
    """An option's; what it was given may be a secret."""
    return typed.partition("=")[0] if typed.startswith("-") else MASK


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


def config_option(options: argparse.Namespace) -> tuple[str, ...]:
    """What another command is to be given to read the same file of settings."""
    return () if options.config is None else (f"--config={options.config.absolute()}",)


def count(text: str) -> int:
    """Reader of a number of things, for options. Raises what argparse turns into exit code 2."""
    if text.isascii() and text.isdigit() and int(text[:12]) > 0:
        return int(text[:12])
    raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text[:40]!r}")


class Output:
    """Standard output for as long as somebody reads it: after `| head` has seen enough, a command that changes
    something goes on, and its exit code says how that went."""

    def write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
        except BrokenPipeError:
            self._nobody_reads()

    def write_utf8(self, text: str) -> None:
        """A file's content, whose encoding its format says, whatever the terminal's is; nothing else follows it."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        self.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            self._nobody_reads()

    @property
    def buffer(self) -> BinaryIO:
        """For bytes as they are; it raises BrokenPipeError."""
        return sys.stdout.buffer

    def _nobody_reads(self) -> None:
        """What is still buffered would be flushed into the broken pipe at exit, which Python complains of."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


output = Output()


def say(text: str) -> None:
    """One line for people, on standard output, whatever others wrote into it (names, errors, a receiver's answer)."""
    output.write(printable(text) + "\n")


def say_json(value: object) -> None:
    """One JSON document, on standard output. People read it in terminals, too: what shows as nothing is an escape."""
    output.write(printable_lines(orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()) + "\n")


def complain(text: str) -> int:
    """One line on standard error; the exit code of what could not be done."""
    sys.stderr.write(printable(f"webhook-worker: {text}") + "\n")
    return FAILED

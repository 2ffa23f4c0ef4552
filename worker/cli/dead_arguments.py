"""The arguments of `webhook-worker dead`: what can be typed, and what it means."""

import argparse
import time
from typing import Any

from worker.basics.moments import moment_or_age
from worker.deadletters.filter import Filter
from worker.deadletters.letter import LETTER_REASONS

Subparsers = Any
"""argparse keeps the class of `add_subparsers()` to itself."""

_ORDER = "The order within the queue is not promised."
_BUSY = "Letters that another `dead` command holds at that moment are not seen."


def add_arguments(subparsers: Subparsers) -> tuple[argparse.ArgumentParser, ...]:
    """`dead list|show|redrive|purge`: their parsers, for options that every command has.

    The parsed namespace holds `dead_command` and is what `dead_commands.run` takes.
    """
    dead = subparsers.add_parser("dead", help="look at, redrive or purge dead letters", description=_BUSY)
    commands = dead.add_subparsers(dest="dead_command", metavar="COMMAND", required=True)
    return _list(commands), _show(commands), _redrive(commands), _purge(commands)


def filter_of(arguments: argparse.Namespace) -> Filter:
    """What the filters say; `list` has no ids."""
    return Filter(
        instance=arguments.instance,
        event=arguments.event,
        reason=arguments.reason,
        webhook=arguments.webhook,
        since=arguments.since,
        until=arguments.until,
        ids=frozenset(getattr(arguments, "id", None) or ()),
    )


def problem_with(arguments: argparse.Namespace) -> str | None:
    """Why `redrive` or `purge` must not begin: nothing says which letters, or two things contradict."""
    chosen = filter_of(arguments)
    if chosen.empty and not arguments.all:
        return f"dead {arguments.dead_command}: say which letters, by a filter, --id or --all"
    if arguments.all and not chosen.empty:
        return f"dead {arguments.dead_command}: --all means every letter and takes no filter or --id"
    return None


def _list(commands: Subparsers) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "list", help="letters, newest first", description=f"Letters, newest first. {_BUSY}"
    )
    _filters(parser, "show at most so many")
    parser.add_argument("--json", action="store_true", help="an array of objects")
    text = "count by webhook and reason in the place of letters; with --json an object with both"
    parser.add_argument("--groups", action="store_true", help=text)
    return parser


def _show(commands: Subparsers) -> argparse.ArgumentParser:
    text = "One letter with its headers and body, secrets masked. Of several with one id: the first that comes."
    parser: argparse.ArgumentParser = commands.add_parser("show", help="one letter in full", description=text)
    parser.add_argument("id", metavar="ID", help="as `dead list` shows it")
    layout = parser.add_mutually_exclusive_group()
    layout.add_argument("--json", action="store_true", help="one object on one line")
    layout.add_argument("--raw", action="store_true", help="the body's bytes alone, nothing masked")
    return parser


def _redrive(commands: Subparsers) -> argparse.ArgumentParser:
    text = (
        "Send letters back to the one webhook they were for; those that never reached a webhook go back to the "
        "events. The webhook-id stays, attempts and age begin anew. A webhook that is disabled or gone by now "
        "skips them: enable it first. Safe to interrupt: a letter may then be delivered twice, none is lost."
    )
    parser: argparse.ArgumentParser = commands.add_parser(
        "redrive", help="deliver letters again", description=f"{text} {_BUSY}"
    )
    _choice(parser, "redrive at most so many")
    parser.add_argument("--dry-run", action="store_true", help="only count")
    parser.add_argument("--json", action="store_true", help="the counts as one object")
    text = "say each second how many were moved, as one JSON object a line on standard error"
    parser.add_argument("--progress", action="store_true", help=text)
    return parser


def _purge(commands: Subparsers) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        "purge", help="delete letters", description=f"Delete letters for good. {_BUSY}"
    )
    _choice(parser, "delete at most so many")
    parser.add_argument("--dry-run", action="store_true", help="only count")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="the counts as one object")
    text = "delete nothing unless it is exactly the letters whose `mark` is this one in `dead list --groups --json`"
    parser.add_argument("--mark", metavar="MARK", help=text)
    return parser


def _choice(parser: argparse.ArgumentParser, limit: str) -> None:
    _filters(parser, f"{limit}. {_ORDER}")
    parser.add_argument("--id", action="append", metavar="ID", help="this letter; can be repeated")
    parser.add_argument("--all", action="store_true", help="every letter")


def _filters(parser: argparse.ArgumentParser, limit: str) -> None:
    parser.add_argument("--instance", help="of this instance")
    parser.add_argument("--event", help="of this event, in any spelling: messages.upsert, MESSAGES_UPSERT")
    parser.add_argument("--reason", choices=LETTER_REASONS, help="dead for this reason")
    parser.add_argument("--webhook", metavar="ID", help="for the webhook of this id (`default`, `global`, ...)")
    parser.add_argument(
        "--since",
        type=_moment,
        metavar="WHEN",
        help="dead since an ISO time, a time of day (both UTC unless they say) or an age: 90s 30m 2h 3d",
    )
    parser.add_argument("--until", type=_moment, metavar="WHEN", help="dead before then")
    parser.add_argument("--limit", type=_positive, metavar="N", help=limit)


def _moment(text: str) -> float:
    try:
        return moment_or_age(text, time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)

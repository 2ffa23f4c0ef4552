"""`webhook-worker check`: settings and connections, without side effects."""

import argparse

from worker.cli.common import DONE, FAILED, Subparsers, add_command, say, say_json
from worker.settings.settings import Settings


def add_to(commands: Subparsers) -> None:
    add_command(commands, "check", "verify settings and connections; changes nothing", _check)


async def _check(options: argparse.Namespace, settings: Settings) -> int:
    from worker.doctor.check import findings  # noqa: PLC0415 - heavy; see cli/__init__.py

    found = [finding async for finding in findings(settings)]
    if options.json:
        say_json([{"name": name, "ok": problem is None, "problem": problem} for name, problem in found])
    else:
        for name, problem in found:
            say(f"{'ok     ' if problem is None else 'PROBLEM'} {name}{'' if problem is None else ': ' + problem}")
    return FAILED if any(problem for _, problem in found) else DONE

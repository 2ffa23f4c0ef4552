"""`webhook-worker doctor`: examines an installation and says what to do; changes nothing."""

import argparse
from collections import Counter
from dataclasses import asdict

from worker.cli.common import DONE, FAILED, WRONG, Subparsers, add_command, complain, say, say_json
from worker.doctor.finding import Finding, Level, needs_doing
from worker.settings.settings import Settings

HEADINGS: dict[Level, str] = {"problem": "problems", "warning": "warnings", "advice": "advice", "ok": "ok"}


def add_to(commands: Subparsers) -> None:
    parser = add_command(commands, "doctor", "examine the installation and say what to do; changes nothing", _doctor)
    parser.add_argument(
        "--management-url",
        metavar="URL",
        help="RabbitMQ's management API, http://[user:password@]host:15672; guessed from RABBITMQ_URI",
    )


async def _doctor(options: argparse.Namespace, settings: Settings) -> int:
    from worker.doctor.asking.management import management_address  # noqa: PLC0415
    from worker.doctor.examination import examine  # noqa: PLC0415 - heavy; see cli/__init__.py

    try:
        address = management_address(settings.rabbitmq_uri, options.management_url)
    except ValueError as error:
        complain(f"--management-url {error}")
        return WRONG
    found = []
    async for finding in examine(settings, address, given=options.management_url is not None):
        found.append(finding)
        if not options.json:
            _show(finding)
    if options.json:
        say_json([asdict(finding) for finding in found])
    else:
        counts = Counter(finding.level for finding in found)
        say("")
        say(", ".join(f"{heading}: {counts[level]}" for level, heading in HEADINGS.items()))
    return FAILED if needs_doing(found) else DONE


def _show(finding: Finding) -> None:
    level = finding.level.upper() if finding.level in ("problem", "warning") else finding.level
    say(f"{level:<8}{finding.name}: {finding.what}")
    if finding.fix:
        say(f"{'':<8}fix: {finding.fix}")

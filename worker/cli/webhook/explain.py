"""`webhook-worker webhook explain`: what would become of an event at each webhook, and why. Nothing is sent."""

import argparse
import sys
from pathlib import Path

from worker.cli.common import DONE, WRONG, Subparsers, add_command, complain, say, say_json
from worker.cli.store import opened_store
from worker.settings.settings import Settings


def add_to(actions: Subparsers) -> None:
    text = "say for each webhook of an instance what would become of an event, and why; nothing is sent"
    parser = add_command(actions, "explain", text, _explain)
    parser.add_argument("instance")
    add_event_file(parser, required=True)


def add_event_file(parser: argparse._ActionsContainer, *, required: bool = False) -> None:
    text = "an event as Evolution publishes it (JSON); - reads standard input"
    parser.add_argument("--event-file", metavar="FILE", required=required, help=text)


def event_in(file: str) -> bytes:
    """Raises OSError."""
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


async def _explain(options: argparse.Namespace, settings: Settings) -> int:
    from worker.domain.event import InvalidEvent  # noqa: PLC0415 - heavy; see cli/__init__.py
    from worker.process import wiring  # noqa: PLC0415
    from worker.webhooks.shown import explained_line, shown_explained  # noqa: PLC0415

    try:
        content = event_in(options.event_file)
    except OSError as error:
        complain(f"--event-file: {options.event_file}: {error.strerror}")
        return WRONG
    async with opened_store(settings, must_exist=True) as store:
        webhooks = await store.load(options.instance)
    try:
        found = wiring.explainer(settings)(content, webhooks, True)
    except InvalidEvent as error:
        complain(f"--event-file: {error}")
        return WRONG
    if options.json:
        say_json([shown_explained(each) for each in found])
    elif not found:
        say(f"skip (no_webhook): {options.instance!r} has none")
    for each in [] if options.json else found:
        say(explained_line(each))
    return DONE

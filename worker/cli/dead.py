"""`webhook-worker dead list|show|redrive|purge`: look at what was given up, and send it again."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worker.cli.common import Subparsers, output
from worker.cli.dead_arguments import add_arguments
from worker.settings.settings import Settings

if TYPE_CHECKING:
    from worker.domain.past import Past


def add_to(commands: Subparsers) -> None:
    for parser in add_arguments(commands):
        parser.add_argument("--config", type=Path, metavar="FILE", help="a worker.toml; the environment overrides it")
        parser.set_defaults(command=_run, daemon=False)


async def _run(options: argparse.Namespace, settings: Settings) -> int:
    from worker.cli.dead_commands import Console, run  # noqa: PLC0415 - heavy; see cli/__init__.py

    async def posted(body: bytes, past: "Past") -> Sequence[str]:
        from worker.process.direct import deliver  # noqa: PLC0415 - only for letters too large for the broker

        return await deliver(settings, body, past)

    uri, prefix = settings.rabbitmq_uri, settings.worker_queue_prefix
    return await run(options, uri, prefix, Console(output), deliver=posted)

"""`webhook-worker api`: the /webhook API without deliveries."""

import argparse

from worker.cli.common import WRONG, Subparsers, add_command, complain, config_option
from worker.settings.settings import Settings


def add_to(commands: Subparsers) -> None:
    add_command(commands, "api", "serve only the /webhook API until SIGTERM", _api, daemon=True)


async def _api(options: argparse.Namespace, settings: Settings) -> int:
    from worker.process.api import run_api  # noqa: PLC0415 - heavy; see cli/__init__.py

    if not settings.authentication_api_key:
        complain("AUTHENTICATION_API_KEY is empty: the API needs a key")
        return WRONG
    return await run_api(settings, config_option(options))

"""`webhook-worker dead`."""

from worker.cli.common import Subparsers


def add_to(commands: Subparsers) -> None:
    """x"""

"""The benchmark's bare loop as a sender for the kit: it is told its queue and its webhooks as any command is.

What it lacks (retries, ids, isolation, egress rules, a drain) is what the kit must find.

Usage: python -m tests.proof.conformance --target "python -m tests.proof.conformance.bare_loop"
"""

from __future__ import annotations

import os
import tomllib
from collections import defaultdict
from pathlib import Path

import uvloop

from tests.proof.bench.peers.bare_loop import main

PREFETCH = 100


def urls_of_instances(file: Path) -> dict[str, list[str]]:
    """Of each instance, from a file as config/webhooks.example.toml."""
    found: dict[str, list[str]] = defaultdict(list)
    for webhook in tomllib.loads(file.read_text())["webhook"]:
        found[webhook["instance"]].append(webhook["url"])
    return found


if __name__ == "__main__":
    urls = urls_of_instances(Path(os.environ["WEBHOOK_FILE"]))
    queue = os.environ["CONFORMANCE_QUEUE"]
    uvloop.run(main(os.environ["RABBITMQ_URI"], queue, lambda event: urls.get(event["instance"], ()), PREFETCH))

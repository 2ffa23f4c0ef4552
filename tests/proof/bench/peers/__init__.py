"""What the worker is measured against: small programs that consume a queue and POST each message."""

import shutil
import subprocess
from pathlib import Path

from tests.proof.bench.rig import PEERS, PREFETCH, python

_NODE = Path(__file__).parent / "node"

BARE_LOOP = "aio-pika + aiohttp, bare loop"


def peers(uri: str, url: str) -> dict[str, list[str]]:
    """Name -> command of each peer that this machine can run (Node's need npm and its registry once)."""
    arguments = _arguments(uri, url)
    commands = {
        BARE_LOOP: bare_loop(uri, url),
        "FastStream + aiohttp": python("-m", "tests.proof.bench.peers.faststream_app", *arguments),
    }
    if _node_is_ready():
        commands["Node, amqplib + axios"] = ["node", str(_NODE / "axios.js"), *arguments]
        commands["Node, amqplib + undici"] = ["node", str(_NODE / "undici.js"), *arguments]
        commands["Node, amqplib + undici, signing"] = ["node", str(_NODE / "undici.js"), *arguments, "sign"]
    return commands


def bare_loop(uri: str, url: str) -> list[str]:
    """The command of the bare loop alone."""
    return python("-m", "tests.proof.bench.peers.bare_loop", *_arguments(uri, url))


def _arguments(uri: str, url: str) -> tuple[str, ...]:
    return uri, PEERS, url, str(PREFETCH)


def _node_is_ready() -> bool:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    if not (_NODE / "node_modules").exists():
        command = ["npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        return subprocess.run(command, cwd=_NODE, check=False).returncode == 0
    return True

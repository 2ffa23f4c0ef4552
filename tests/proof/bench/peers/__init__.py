"""What the worker is measured against: small programs that consume a queue and POST each message."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.proof.bench.rig import PEERS, PREFETCH, python

_NODE = Path(__file__).parent / "node"
_GO = Path(__file__).parent / "go"
_BUILT = Path(__file__).parents[4] / ".cache" / "bench"
_GO_PATH = "/usr/share/gocode"
"""Where Debian's golang-github-rabbitmq-amqp091-go-dev puts the client."""

BARE_LOOP = "aio-pika + aiohttp, bare loop"
NODE_SIGNING = "Node, amqplib + undici, signing"


def peers(uri: str, url: str) -> dict[str, list[str]]:
    """Name -> command of each peer that this machine can run (Node's need npm and its registry once; Go's need a
    compiler and Debian's golang-github-rabbitmq-amqp091-go-dev)."""
    arguments = _arguments(uri, url)
    commands = {
        BARE_LOOP: bare_loop(uri, url),
        "FastStream + aiohttp": python("-m", "tests.proof.bench.peers.faststream_app", *arguments),
    }
    if _node_is_ready():
        commands["Node, amqplib + axios"] = ["node", str(_NODE / "axios.js"), *arguments]
        commands["Node, amqplib + undici"] = ["node", str(_NODE / "undici.js"), *arguments]
        commands[NODE_SIGNING] = ["node", str(_NODE / "undici.js"), *arguments, "sign"]
    if (program := _go_program()) is not None:
        commands["Go, amqp091-go + net/http, signing"] = [str(program), *arguments, "sign"]
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


def _go_program() -> Path | None:
    """Compiled anew unless nothing has changed, half a minute the first time."""
    if shutil.which("go") is None:
        return None
    program = _BUILT / "go-peer"
    surroundings = {"GO111MODULE": "off", "GOPATH": _GO_PATH, "GOFLAGS": "", "GOCACHE": str(_BUILT / "go")}
    command = ["go", "build", "-o", str(program), "."]
    built = subprocess.run(command, cwd=_GO, env={**os.environ, **surroundings}, check=False)
    return program if built.returncode == 0 else None

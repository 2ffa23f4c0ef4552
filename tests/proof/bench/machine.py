"""The machine and the versions: figures mean nothing without them."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tests.proof.bench.process import MEASURED_CORE, SERVERS_CORE
from tests.support.dockerfile import memory_settings

LIBRARIES = ("aio-pika", "aiormq", "aiohttp", "uvloop", "faststream")
_NODE = Path(__file__).parent / "peers" / "node" / "package.json"


def machine() -> str:
    """Two columns of Markdown."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in _facts())
    return f"| machine | |\n| --- | --- |\n{rows}"


def _facts() -> Iterator[tuple[str, str]]:
    yield "cores", f"{os.cpu_count()}, {_model()}; measured on {MEASURED_CORE}, all else on {SERVERS_CORE}"
    yield "memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    yield "kernel", f"{platform.system()} {platform.release()}"
    yield "Python", f"{platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in LIBRARIES)}"
    yield "the worker's memory, as in its image", " ".join("=".join(one) for one in memory_settings().items())
    yield "RabbitMQ", _said("dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server")
    yield "nginx", _said("nginx", "-v").rpartition("/")[2]
    packages = json.loads(_NODE.read_text())["dependencies"]
    yield "Node", f"{_said('node', '--version')}, {', '.join(f'{name} {number}' for name, number in packages.items())}"
    amqp091 = _said("dpkg-query", "-W", "-f", "${Version}", "golang-github-rabbitmq-amqp091-go-dev")
    yield "Go", f"{_said('go', 'version').removeprefix('go version ')}, amqp091-go {amqp091}"


def _model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _said(*command: str) -> str:
    """What a program says of its version; `?` where there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "?"
    return (done.stdout or done.stderr).strip() or "?"

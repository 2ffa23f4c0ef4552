"""`make bench`: every figure that the README quotes, from one run on this machine.

Usage: python -m tests.bench [--only NAME ...] [--rounds N] [--quick]
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version

from tests.bench.burst import burst
from tests.bench.filtered import filtered
from tests.bench.isolation import isolation
from tests.bench.rig import Rig, rig
from tests.bench.scale import instances, memory, start
from tests.bench.throughput import throughput

Scenario = Callable[[Rig, int, int], Iterator[str]]

SCENARIOS: dict[str, Scenario] = {
    "throughput": lambda rig, rounds, count: throughput(rig, rounds=rounds, count=count, size=800),
    "throughput-12k": lambda rig, rounds, count: throughput(rig, rounds=rounds, count=count // 2, size=12_000),
    "throughput-1m": lambda rig, rounds, count: throughput(rig, rounds=rounds, count=count // 40, size=1_000_000),
    "filtered": lambda rig, rounds, count: filtered(rig, rounds=rounds, count=count * 2),
    "instances": lambda rig, rounds, count: instances(rig, rounds=rounds, count=count),
    "isolation": lambda rig, rounds, _: isolation(rig, rounds=rounds),
    "burst": lambda rig, rounds, _: burst(rig, rounds=rounds),
    "start": lambda rig, rounds, _: start(rig, rounds=rounds),
    "memory": lambda rig, _, __: memory(rig),
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--count", type=int, default=20_000, help="events a round")
    chosen = options.parse_args()
    print(f"{machine()}\n")
    with rig() as ready:
        for name in chosen.only:
            print(f"### {name}\n")
            for line in SCENARIOS[name](ready, chosen.rounds, chosen.count):
                print(line, flush=True)
            print()
    return 0


def machine() -> str:
    """Cores, kernel and versions: figures mean nothing without them."""
    query = ["dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"]
    broker = subprocess.run(query, capture_output=True, text=True, check=False)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("aio-pika", "aiormq", "aiohttp", "uvloop"))
    return (
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}, {libraries}, "
        f"RabbitMQ {broker.stdout or '?'}. Measured on one core; RabbitMQ and nginx on the other."
    )


if __name__ == "__main__":
    sys.exit(main())

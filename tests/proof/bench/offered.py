"""Open loop: events at a steady pace whatever becomes of them, and a look at the worker every half second."""

import os
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from tests.proof.bench.endpoints import BODY_BYTES, stamped
from tests.proof.bench.process import SERVERS_CORE, CoreUse, Process
from tests.proof.bench.rig import Rig

LOOK_SECONDS = 0.5
_HELD = b"webhook_worker_held_bytes "


@dataclass(frozen=True, slots=True)
class Trend:
    """A figure while the events came: medians of the first and the last third of the looks, and the most."""

    first: float
    last: float
    most: float

    @classmethod
    def of(cls, looks: list[float]) -> "Trend":
        third = max(1, len(looks) // 3)
        return cls(statistics.median(looks[:third]), statistics.median(looks[-third:]), max(looks))


@dataclass(frozen=True, slots=True)
class Watched:
    """Un-acked messages, resident MiB, how busy the servers' core was with all that runs there (0 to 1), and by how
    many seconds the publisher was behind its pace at worst."""

    unacked: Trend
    memory: Trend
    servers: float
    late: float


def offer(rig: Rig, worker: Process, pace: float, seconds: float, whose: Callable[[int], int]) -> Watched:
    """Publish `pace * seconds` events, the n-th for the endpoint `whose(n)`."""
    rig.broker.begin_new_log()
    count, servers = int(pace * seconds), CoreUse(SERVERS_CORE)
    with on_servers_core(), ThreadPoolExecutor(1) as aside:
        watching = aside.submit(_watch, rig.metrics_port, worker, seconds)
        late = rig.queues.pace(
            "",
            rig.events_queue,
            lambda number, _: stamped(whose(number)),
            rate=pace,
            until=lambda number: number >= count,
        )
        unacked, memory = watching.result()
    return Watched(Trend.of(unacked), Trend.of(memory), servers.share, late)


@contextmanager
def on_servers_core() -> Iterator[None]:
    """Keeps this process off the core that is measured."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVERS_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _watch(port: int, worker: Process, seconds: float) -> tuple[list[float], list[float]]:
    unacked, memory = [], []
    for _ in range(int(seconds / LOOK_SECONDS)):
        time.sleep(LOOK_SECONDS)
        unacked.append(_unacked(port))
        memory.append(worker.rss_mib)
    return unacked, memory


def _unacked(port: int) -> float:
    """Messages that the worker has taken and not settled, by its own metric."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        line = next(line for line in answer.read().splitlines() if line.startswith(_HELD))
    return float(line.removeprefix(_HELD)) / BODY_BYTES

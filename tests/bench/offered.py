"""Open loop: events at a steady pace whatever becomes of them, and a look at the worker every half second."""

import asyncio
import os
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import aio_pika

from tests.bench.endpoints import BODY_BYTES, stamped
from tests.bench.rig import SERVERS_CORE, Process, Rig
from tests.support.amqp import BareProperties

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
    """Un-acked messages, and resident MiB."""

    unacked: Trend
    memory: Trend


def offer(rig: Rig, worker: Process, pace: float, seconds: float, whose: Callable[[int], int]) -> Watched:
    """Publish `pace * seconds` events, the n-th for the endpoint `whose(n)`."""
    with on_servers_core():
        return asyncio.run(_offer(rig, worker, pace, seconds, whose))


@contextmanager
def on_servers_core() -> Iterator[None]:
    """Keeps this process off the core that is measured."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVERS_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def _offer(rig: Rig, worker: Process, pace: float, seconds: float, whose: Callable[[int], int]) -> Watched:
    watching = asyncio.create_task(_watch(rig, worker, seconds))
    connection = await aio_pika.connect(rig.broker.uri)
    channel = await (await connection.channel(publisher_confirms=False)).get_underlay_channel()
    began = time.monotonic()
    for number in range(int(pace * seconds)):
        ahead = began + number / pace - time.monotonic()
        if ahead > 0:
            await asyncio.sleep(ahead)
        properties = BareProperties(delivery_mode=2)
        await channel.basic_publish(stamped(whose(number)), routing_key=rig.events_queue, properties=properties)
    watched = await watching
    await connection.close()
    return watched


async def _watch(rig: Rig, worker: Process, seconds: float) -> Watched:
    unacked, memory = [], []
    for _ in range(int(seconds / LOOK_SECONDS)):
        await asyncio.sleep(LOOK_SECONDS)
        unacked.append(await asyncio.to_thread(_unacked, rig.metrics_port))
        memory.append(worker.rss_mib)
    return Watched(Trend.of(unacked), Trend.of(memory))


def _unacked(port: int) -> float:
    """Messages that the worker has taken and not settled, by its own metric."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        line = next(line for line in answer.read().splitlines() if line.startswith(_HELD))
    return float(line.removeprefix(_HELD)) / BODY_BYTES

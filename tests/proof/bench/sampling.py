"""One round of deliveries to nginx, measured from outside."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.proof.bench.ledger import LedgerError
from tests.proof.bench.process import Process
from tests.support.nginx import Nginx

WARM_SECONDS = 1.0
"""At the beginning of a turn at a pace: connections, caches and lanes come to be. Not counted."""

KEPT_UP_MS = 200.0
"""p99 at most: events arrive as they are published, and no queue grows."""

LEAST_PACE = 50.0

WARM_UP = 0.1
"""The first part of the deliveries, which is not counted."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One round: deliveries a second, CPU microseconds a delivery, peak memory in MiB, seconds to the first one."""

    rate: float
    cpu: float
    memory: float
    first: float


class Posts:
    """What nginx has answered since this was made, our own questions not counted."""

    def __init__(self, nginx: Nginx) -> None:
        self._nginx = nginx
        self._before = nginx.requests()

    def count(self) -> int:
        self._before += 1
        return self._nginx.requests() - self._before

    def check(self, expected: int) -> None:
        """Raises LedgerError unless it is exactly so many."""
        if (count := self.count()) != expected:
            raise LedgerError(f"{count} deliveries instead of {expected}")


def measure(process: Process, posts: Posts, count: int, *, warm_up: int | None = None, limit: float = 120.0) -> Sample:
    """Follow `count` deliveries at the receiver, without the first `warm_up` (None: a tenth). Raises LedgerError."""
    uncounted = count * WARM_UP if warm_up is None else warm_up
    first: tuple[float, float, int] | None = None
    began = 0.0
    while True:
        seen = posts.count()
        now = (time.monotonic(), process.cpu_seconds, seen)
        if not began and seen > 0:
            began = now[0] - process.started
        if first is None and seen >= uncounted:
            first = now
        if seen >= count and first is not None:
            done = seen - first[2]
            return Sample(done / (now[0] - first[0]), (now[1] - first[1]) / done * 1e6, process.peak_mib, began)
        if now[0] - process.started > limit:
            raise LedgerError(f"only {seen} of {count} deliveries within {limit} s")
        process.check_running()
        time.sleep(0.02)


def kept_up(pace: float, keeps_up: Callable[[float], bool]) -> float:
    """That pace in events a second, or the next lower one that `keeps_up`. Raises LedgerError if none down to
    LEAST_PACE does: the machine is too busy."""
    while not keeps_up(pace):
        pace *= 0.8
        if pace < LEAST_PACE:
            raise LedgerError(f"not even {pace:.0f} events/s are kept up with: the machine is busy")
    return pace


def event(instance: str, size: int, number: int = 0, name: str = "messages.upsert", sent: float = 0.0) -> bytes:
    """An event of about `size` bytes, as Evolution publishes it; `tests.proof.bench.noting` reads number and sent."""
    head = (
        f'{{"event":"{name}","instance":"{instance}","data":{{"key":{{"remoteJid":"{5511900000000 + number}'
        f'@s.whatsapp.net","id":"{number:012d}"}},"number":{number},"sent":{sent:.6f},"text":"'
    )
    tail = '"},"server_url":"https://evo.example","date_time":"2026-11-22T08:37:36.202Z","apikey":"T"}'
    return (head + "x" * max(0, size - len(head) - len(tail)) + tail).encode()


def median(samples: Sequence[Sample]) -> Sample:
    """Of each figure by itself."""
    return Sample(
        statistics.median(sample.rate for sample in samples),
        statistics.median(sample.cpu for sample in samples),
        statistics.median(sample.memory for sample in samples),
        statistics.median(sample.first for sample in samples),
    )


def spread(values: Sequence[float], digits: int = 0) -> str:
    """`median (least-most)`."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"

"""What arrived, and whether that is exactly what should have: a figure counts only with its ledger."""

import math
import time
import urllib.request
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tests.proof.bench.process import SERVERS_CORE, Process, python
from tests.support.local_process import free_port


class LedgerError(RuntimeError):
    """Not every event arrived exactly once and where it should."""


def wait_for(
    count: Callable[[], float], least: float, what: str, process: Process, limit: float, *, interval: float = 0.05
) -> None:
    """Until it counts so many, asked every `interval` seconds. Raises LedgerError when it does not within `limit`
    seconds, RuntimeError when the process ends."""
    deadline = time.monotonic() + limit
    while (seen := count()) < least:
        process.check_running()
        if time.monotonic() > deadline:
            raise LedgerError(f"only {seen:.0f} of {least:.0f} {what} within {limit:.0f} s")
        time.sleep(interval)


class Arrival(NamedTuple):
    """One POST that was answered 200. `sent` and `arrived` in seconds of the monotonic clock."""

    number: int
    endpoint: int
    sent: float
    arrived: float

    @property
    def latency_ms(self) -> float:
        return (self.arrived - self.sent) * 1000


class Receiver(Process):
    """The process of `tests.proof.bench.noting`, and the questions to it."""

    def __init__(self) -> None:
        self._port = free_port()
        super().__init__(python("-m", "tests.proof.bench.noting", str(self._port)), core=SERVERS_CORE)

    def __enter__(self) -> "Receiver":
        while True:
            try:
                self.count()
            except OSError:
                self.check_running()
                time.sleep(0.01)
            else:
                return self

    def url(self, behaviour: str, endpoint: int) -> str:
        return f"http://127.0.0.1:{self._port}/{behaviour}/{endpoint}"

    def count(self) -> int:
        """POSTs noted since the last `noted`."""
        return int(self._get("count").split()[0])

    def count_second_series(self) -> int:
        """Those of them whose number is SECOND_SERIES or higher."""
        return int(self._get("count").split()[1])

    def noted(self) -> list[Arrival]:
        """Everything since the last call, in order of arrival."""
        rows = array("d", self._get("noted"))
        numbers, endpoints, sent, arrived = (rows[start::4] for start in range(4))
        return [Arrival(int(n), int(e), s, a) for n, e, s, a in zip(numbers, endpoints, sent, arrived, strict=True)]

    def wait_for(self, count: int, process: Process, limit: float = 180.0) -> None:
        """Until `count` POSTs are noted; raises LedgerError when they do not come within `limit` seconds."""
        wait_for(self.count, count, "deliveries arrived", process, limit)

    def _get(self, what: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{what}", timeout=30) as answer:
            content: bytes = answer.read()
        return content


def check(arrivals: Iterable[Arrival], expected: Iterable[int], endpoint: Callable[[int], int]) -> None:
    """Raises LedgerError unless each number in `expected` arrived once, at `endpoint(number)`, and no other did."""
    wanted, seen = set(expected), set[int]()
    repeated, misplaced, foreign = 0, 0, 0
    for arrival in arrivals:
        repeated += arrival.number in seen
        foreign += arrival.number not in wanted
        misplaced += arrival.number in wanted and arrival.endpoint != endpoint(arrival.number)
        seen.add(arrival.number)
    missing = wanted - seen
    if missing or repeated or misplaced or foreign:
        first = f" (the first is number {min(missing)})" if missing else ""
        raise LedgerError(
            f"of {len(wanted)} events {len(missing)} did not arrive{first}, {repeated} came again, "
            f"{misplaced} came to a wrong endpoint, {foreign} should not have come"
        )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that is not exceeded by `percent` of them (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def rate(arrivals: Sequence[Arrival]) -> float:
    """Arrivals a second in the middle: from the first tenth to the ninth, start and end not counted."""
    first, last = arrivals[len(arrivals) // 10], arrivals[len(arrivals) * 9 // 10]
    return (len(arrivals) * 9 // 10 - len(arrivals) // 10) / (last.arrived - first.arrived)

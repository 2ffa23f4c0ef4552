"""How many replicas share each webhook's rate limit."""

from collections import deque

from worker.basics.clock import Clock

REMEMBERED_SECONDS = 300.0
"""Longer than a replica usually pauses. After a scale-down the rates stay below their limits for so long."""


class Replicas:
    """Fed with each count of consumers; no I/O. `monotonic` is in seconds.

    A replica that pauses for WORKER_MAX_BYTES has no consumer for a while and delivers on: the highest count of the
    last minutes holds, so that the others do not take its share meanwhile and pass the limit together with it.
    """

    def __init__(self, monotonic: Clock) -> None:
        self._monotonic = monotonic
        self._counts: deque[tuple[float, int]] = deque()

    def counted(self, consumers: int) -> int:
        """How many there are to share with, oneself included: at least 1."""
        now = self._monotonic()
        while self._counts and self._counts[0][0] < now - REMEMBERED_SECONDS:
            self._counts.popleft()
        self._counts.append((now, consumers))
        return max(1, *(count for _, count in self._counts))

"""How long the oldest ready message of a queue has waited: an estimate, as AMQP tells no message's age."""

from collections import deque
from itertools import islice

from worker.basics.clock import Clock

MOST_REMEMBERED = 1000
"""Looks that are kept; beyond that every second one is forgotten, which dates some messages one look late."""


class BacklogAge:
    """Fed with each look at the queue; no I/O. Seconds by the monotonic clock that it is given.

    What was taken and what is ready make up what has arrived; messages leave in order, so the oldest one that is
    ready arrived when that sum first exceeded what has been taken by now. It counts from this process's first look
    at the earliest, and takes other replicas for as fast as this one.
    """

    def __init__(self, monotonic: Clock) -> None:
        self._monotonic = monotonic
        self._arrivals: deque[tuple[float, int]] = deque()  # (time, arrived by then), both rising
        self._taken = 0  # by all replicas
        self._ours = 0
        self._ready = 0

    def looked(self, ours: int, ready: int, replicas: int) -> None:
        """`ours`: messages that this process has taken and not given back, since its start."""
        # What is no longer ready was taken by somebody, whatever this replica's share was.
        self._taken += max((ours - self._ours) * max(1, replicas), self._ready - ready)
        self._ours, self._ready = ours, ready
        while self._arrivals and self._arrivals[0][1] <= self._taken:
            self._arrivals.popleft()
        arrived = self._taken + ready
        if ready and (not self._arrivals or self._arrivals[-1][1] < arrived):
            self._arrivals.append((self._monotonic(), arrived))
        if len(self._arrivals) > MOST_REMEMBERED:
            self._arrivals = deque(islice(self._arrivals, 0, None, 2))

    def seconds(self) -> float:
        """0 when nothing was ready at the last look. Without further looks (no connection) it goes on growing."""
        return self._monotonic() - self._arrivals[0][0] if self._arrivals else 0.0

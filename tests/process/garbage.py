"""How much garbage the worker's collector lets lie: `python -m tests.process.garbage MADE HELD` prints a number.

A process of its own, since the thresholds and what is frozen are the whole process's.
"""

import sys
from collections import deque

from worker.process.lifecycle import calm_garbage_collection

AT_START = 500_000
"""Objects that start-up makes and keeps: the collector must not wait until a share of these has been added."""


class Cycle:
    """Garbage that only the collector finds, once nobody holds it."""

    alive = 0
    most = 0
    __slots__ = ("itself",)

    def __init__(self) -> None:
        self.itself = self
        Cycle.alive += 1
        Cycle.most = max(Cycle.most, Cycle.alive)

    def __del__(self) -> None:
        Cycle.alive -= 1


def most_left_behind(made: int, held: int) -> int:
    """Of `made` cycles, each held until `held` later ones are there: the most that were alive and held by nobody."""
    last: deque[Cycle] = deque(maxlen=held)
    for _ in range(made):
        last.append(Cycle())
    return Cycle.most - held


if __name__ == "__main__":
    at_start: list[list[None]] = [[] for _ in range(AT_START)]
    calm_garbage_collection()
    print(most_left_behind(int(sys.argv[1]), int(sys.argv[2])))

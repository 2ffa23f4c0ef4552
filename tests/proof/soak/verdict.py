"""Whether a process stays flat: the medians of the second and of the last fifth of its samples. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

MIB = 1024 * 1024
FIFTHS = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One scrape: resident memory in bytes, asyncio tasks alive, open file descriptors, and how many of those are
    connections to the receiver, in use or kept for the next POST.

    The pool keeps what the last burst has opened for as long as each connection is used within 75 s: its size tells
    how large the last burst was. What the receiver has closed and the worker has not is no part of `connections`.
    """

    memory: float
    tasks: float
    descriptors: float
    connections: float


@dataclass(frozen=True, slots=True)
class Bound:
    """How far the median of one figure may rise from the second fifth to the last; it may fall."""

    name: str
    read: Callable[[Sample], float]
    most: float


BOUNDS = (
    # A leak of 100 bytes an event would be 4 MiB over the 36,000 events between the two fifths.
    Bound("memory, MiB", lambda sample: sample.memory / MIB, 4.0),
    # A connection has five tasks: one that stays behind is seen.
    Bound("asyncio tasks", lambda sample: sample.tasks, 4.0),
    Bound("file descriptors without the receiver's", lambda sample: sample.descriptors - sample.connections, 4.0),
)


@dataclass(frozen=True, slots=True)
class Change:
    """One figure's medians, fifth by fifth, its highest value, and whether it kept to the bound."""

    bound: Bound
    fifths: tuple[float, ...]
    highest: float

    @property
    def flat(self) -> bool:
        return self.fifths[-1] - self.fifths[1] <= self.bound.most


def changes(samples: Sequence[Sample]) -> list[Change]:
    """The first fifth is the warm-up: caches, pools and the allocator fill. Raises ValueError below five samples."""
    if len(samples) < FIFTHS:
        raise ValueError(f"{len(samples)} samples have no fifths")
    return [_change(bound, [bound.read(sample) for sample in samples]) for bound in BOUNDS]


def _change(bound: Bound, values: Sequence[float]) -> Change:
    ends = [len(values) * n // FIFTHS for n in range(FIFTHS + 1)]
    return Change(bound, tuple(median(values[begin:end]) for begin, end in pairwise(ends)), max(values))

"""The type of a clock that is handed in: nothing below the composition root reads the time by itself."""

from collections.abc import Callable
from typing import NamedTuple

Clock = Callable[[], float]
"""Unix time in seconds, or a monotonic reading, as the parameter's name says."""

TIMER_SECONDS = 0.01
"""The event loop's timer for what waits in lanes fires no sooner than this after the last time."""


class Clocks(NamedTuple):
    """The two clocks of the flow, in seconds: Unix time for what is stored or shown, monotonic for durations."""

    now: Clock
    monotonic: Clock

"""The type of a clock that is handed in: nothing below the composition root reads the time by itself."""

from collections.abc import Callable

Clock = Callable[[], float]
"""Unix time in seconds, or a monotonic reading, as the parameter's name says."""

"""Decides how long no query is sent to a store that fails."""

from collections.abc import Callable
from math import inf

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 15.0
"""However long entries live: a long time to live must not make the recovery late as well."""

RECENT_SECONDS = 15.0
"""A failure longer ago says nothing about the store any more."""


class Pause:
    """After a failure no query for a second, doubled up to `longest`; then one at a time tries again.

    `longest` is LONGEST_SECONDS at most. `clock` is monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float], longest: float) -> None:
        self._clock = clock
        self._longest = min(max(longest, FIRST_SECONDS), LONGEST_SECONDS)
        self._seconds = 0.0
        self._over_at = -inf
        self._failed_at = -inf

    @property
    def failing(self) -> bool:
        """Whether the last query that ended has failed."""
        return self._seconds > 0

    def recent(self) -> bool:
        """Whether a query failed within the last RECENT_SECONDS, and none succeeded since.

        Waiting for the store's next answer would probably be in vain.
        """
        return self.failing and self._clock() < self._failed_at + RECENT_SECONDS

    def allows(self) -> bool:
        """Whether a query may go out now. The first that may after a pause begins the next one for the others."""
        if not self.failing:
            return True
        now = self._clock()
        if now < self._over_at:
            return False
        self._over_at = now + self._seconds
        return True

    def failed(self, began: float) -> None:
        """A query that began at `began` failed. Those that were under way together count once."""
        now = self._clock()
        if not self.failing or began >= self._failed_at:
            self._seconds = min(max(self._seconds * 2, FIRST_SECONDS), self._longest)
        self._failed_at = now
        self._over_at = now + self._seconds

    def succeeded(self) -> None:
        self._seconds = 0.0

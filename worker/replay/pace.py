"""How fast a replay goes: no faster than its rate, and no further ahead than its webhook takes events. Pure."""

from collections import deque
from collections.abc import Collection, Iterable

LEAST = 8
MOST = 5000
"""Events that were published and have not been taken yet. Of a webhook that takes nothing, LEAST wait in the delay
queues; the rest stays in the archive. A lane that has shown no pace yet lets eight wait, and parks the ninth."""

BATCH = 200
"""Published together at most: so many are in doubt after a crash. Each costs two transactions of the history's
database; with 50, 320 a second were replayed."""

SOON_SECONDS = 2.0
LATE_SECONDS = 6.0


class Pace:
    """`rate`: events a second, None: as fast as they are taken. Times are monotonic seconds. `ahead`: what was
    published before, and when.

    The window doubles while what is published is taken within two seconds, and halves when it takes six.
    """

    def __init__(self, rate: float | None, now: float, ahead: Iterable[tuple[str, float]] = ()) -> None:
        self._rate = rate
        self._free_at = now
        self._window = LEAST
        self._ahead: deque[tuple[str, float]] = deque(ahead)

    @property
    def ahead(self) -> list[str]:
        """Ids that were published and not taken yet, as far as is known; oldest first."""
        return [each for each, _ in self._ahead]

    @property
    def batch(self) -> int:
        """How many may be published together: about a second's."""
        most = min(BATCH, self._window)
        return most if self._rate is None else min(most, max(1, int(self._rate)))

    def wait(self, now: float, count: int) -> float:
        """Seconds until `count` more may be published; 0: now. Infinite ones mean: ask what was taken, then again."""
        if self._ahead and len(self._ahead) + count > self._window:
            return float("inf")
        return self.rest(now)

    def rest(self, now: float) -> float:
        """Seconds until the rate allows more."""
        return max(0.0, self._free_at - now)

    def newest(self, count: int) -> list[tuple[str, float]]:
        """Of those `ahead`, and when they were published."""
        return list(self._ahead)[-count:]

    def published(self, ids: Iterable[str], now: float) -> None:
        new = [(each, now) for each in ids]
        self._ahead.extend(new)
        if self._rate is not None:
            self._free_at = max(now, self._free_at) + len(new) / self._rate

    def silent(self, now: float, seconds: float) -> list[str]:
        """Those `ahead` that were published longer ago."""
        return [each for each, at in self._ahead if now - at > seconds]

    def given_up(self, ids: Collection[str]) -> None:
        """Nobody will say that they were taken: they hold nothing back any more, and open nothing."""
        self._ahead = deque(item for item in self._ahead if item[0] not in ids)

    def taken(self, ids: Collection[str], now: float) -> None:
        """Of those `ahead`, these have been taken. None of them: the window does not grow by asking."""
        before = len(self._ahead)
        self._ahead = deque(item for item in self._ahead if item[0] not in ids)
        oldest = now - self._ahead[0][1] if self._ahead else 0.0
        if oldest > LATE_SECONDS:
            self._window = max(LEAST, self._window // 2)
        elif oldest < SOON_SECONDS and len(self._ahead) < before:
            self._window = min(MOST, self._window * 2)

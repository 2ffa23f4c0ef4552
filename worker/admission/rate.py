"""The rate limit of one endpoint: a token bucket, kept as one number (GCRA)."""

from worker.basics.clock import TIMER_SECONDS
from worker.domain.webhook import RateLimit


class TokenBucket:
    """Decides when the next attempt may start under a rate limit.

    Over any window of w seconds at most `burst + per_second * w` starts, both times this process's share.

    The burst is at least one start, else nothing would ever go, and at a rate above the timer's (TIMER_SECONDS) what it
    allows from one timer to the next besides, else 500 a second would be 100. `_full_at` is when the bucket is full
    again if nothing more starts; `ready_at` follows from it without a sum that rounding could spoil: a timer set for
    `ready_at` finds its token.
    """

    __slots__ = ("_full_at", "_interval", "_tolerance", "limit", "ready_at", "share")

    def __init__(self, limit: RateLimit, share: float) -> None:
        self._full_at = float("-inf")
        self._set(limit, share)

    def configure(self, limit: RateLimit, share: float, now: float) -> bool:
        """Take over a changed limit or number of consumers (True): what was spent stays spent."""
        if limit == self.limit and share == self.share:
            return False
        spent = max(0.0, self._full_at - now) / self._interval
        self._set(limit, share)
        self._full_at = now + spent * self._interval
        self.ready_at = self._full_at - self._tolerance
        return True

    def take(self, now: float) -> None:
        """One attempt starts (`now >= ready_at` held)."""
        self._full_at = max(self._full_at, now) + self._interval
        self.ready_at = self._full_at - self._tolerance

    def wait(self, now: float, ahead: int) -> float:
        """Seconds until the next start but `ahead` may be made."""
        return max(self._full_at, now) - self._tolerance + ahead * self._interval - now

    @property
    def per_second(self) -> float:
        """This process's share of the rate."""
        return 1.0 / self._interval

    def full(self, now: float) -> bool:
        return now >= self._full_at

    def _set(self, limit: RateLimit, share: float) -> None:
        self.limit = limit
        self.share = share
        self._interval = 1.0 / (limit.per_second * share)
        late = TIMER_SECONDS if self._interval < TIMER_SECONDS else 0.0
        self._tolerance = max((max(1.0, limit.burst * share) - 1.0) * self._interval, late)
        self.ready_at = self._full_at - self._tolerance

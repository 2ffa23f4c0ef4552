"""Decides when a receiver has failed every attempt for so long that its webhook is disabled. Decisions only.

"Failed" is no 2xx: a receiver that answers 404 to everything takes nothing either. The start of
the failing is written into the webhook's row only once it has lasted for a while, so that a bad minute costs no write.
From then on the row is the truth for all replicas: the earliest start wins, a success anywhere clears it. Before, each
replica knows its own attempts only.
"""

from collections import deque
from dataclasses import dataclass
from typing import TypeVar

from worker.domain.webhook import Webhook

LONGEST_DOUBT = 600.0
"""Seconds of failing after which the start is written; a tenth of the limit, if that is less."""

LONGEST_PAUSE = 15.0
"""Seconds between two writes about one endpoint: the store may be down, and results come by the thousand."""


@dataclass(frozen=True, slots=True)
class Remember:
    """Write that every attempt has failed since then, Unix milliseconds."""

    since: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Write that an attempt succeeded."""


@dataclass(frozen=True, slots=True)
class Disable:
    """Send the receiver nothing more: each attempt failed since then (Unix milliseconds). None: it is gone, 410."""

    failing_since: int | None = None


Key = tuple[str, str]
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Streak:
    """Failures in a row of one endpoint, seen by this process. `known`: its row was seen to say so too."""

    webhook: Webhook
    since: float
    last: float
    known: bool = False


class LongFailing:
    """Remembers since when each endpoint has failed every attempt, and says what is to be written of it.

    `limit` is in seconds, every `now` in Unix seconds; bounded to `most` endpoints. The time of a self-fault does not
    count, in this process: `freeze` when it begins, `thaw` when it ends.
    """

    def __init__(self, limit: float, most: int = 10_000) -> None:
        self._limit = limit
        self._doubt = min(LONGEST_DOUBT, limit / 10)
        self._pause = min(LONGEST_PAUSE, self._doubt)
        self._most = most
        self._streaks: dict[Key, _Streak] = {}
        self._asked: dict[Key, float] = {}
        self._frozen: deque[tuple[float, float]] = deque(maxlen=100)
        self._frozen_at: float | None = None

    def succeeded(self, webhook: Webhook, now: float) -> Forget | None:
        """An attempt brought a 2xx."""
        if not self._streaks and webhook.failing_since is None:
            return None
        key = (webhook.instance, webhook.id)
        self._streaks.pop(key, None)
        return Forget() if webhook.failing_since is not None and self._may_ask(key, now) else None

    def failed(self, webhook: Webhook, now: float) -> Remember | Disable | None:
        """An attempt that was charged to the receiver brought no 2xx. `webhook` is what the attempt used."""
        key = (webhook.instance, webhook.id)
        streak = self._streak(key, webhook, now)
        idle, streak.last = now - streak.last, now
        if idle > self._limit / 2:
            streak.since = now  # nothing was tried meanwhile: an idle webhook is not a failing one
        decision = self._to_write(streak, webhook.failing_since, now, idle)
        return decision if decision is not None and self._may_ask(key, now) else None

    def freeze(self, now: float) -> None:
        self._frozen_at = now

    def thaw(self, now: float) -> None:
        if self._frozen_at is not None:
            self._frozen.append((self._frozen_at, now))
            self._frozen_at = None

    def _to_write(self, streak: _Streak, since: int | None, now: float, idle: float) -> Remember | Disable | None:
        lasting = now - streak.since >= self._doubt
        if since is not None:
            # What failed before a restart or a pause is believed after some failures of today.
            return Disable(since) if lasting and self._elapsed(since / 1000, now) >= self._limit else None
        if idle > self._doubt:
            # Another replica may have succeeded meanwhile. Written at once: so few events may bring no other occasion.
            streak.since, lasting = now, True
        return Remember(int(streak.since * 1000)) if lasting else None

    def _elapsed(self, since: float, now: float) -> float:
        """Seconds since then, without those of self-faults."""
        return now - since - sum(max(0.0, end - max(start, since)) for start, end in self._frozen)

    def _streak(self, key: Key, webhook: Webhook, now: float) -> _Streak:
        """The endpoint's streak; a new one if the webhook was changed, or another replica's success cleared the row."""
        streak = self._streaks.get(key)
        cleared = streak is not None and streak.known and webhook.failing_since is None
        if streak is None or cleared or streak.webhook != webhook:
            streak = _Streak(webhook, now, now)
            _keep(self._streaks, key, streak, self._most)
        streak.known = webhook.failing_since is not None
        return streak

    def _may_ask(self, key: Key, now: float) -> bool:
        if now - self._asked.get(key, float("-inf")) < self._pause:
            return False
        _keep(self._asked, key, now, self._most)
        return True


def _keep(kept: dict[Key, T], key: Key, value: T, most: int) -> None:
    """Adds it as the newest; the oldest is dropped when there are more than `most`."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > most:
        del kept[next(iter(kept))]

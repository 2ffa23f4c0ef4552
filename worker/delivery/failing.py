"""Has an endpoint failed every attempt for so long that its webhook is disabled? Decisions only.

"Failed" is no 2xx: who answers 404 to everything takes nothing either. The start of the failing is written into the
webhook's row only once it has lasted for a while, so that a bad minute costs no write. From then on the row is the
truth for all replicas: the earliest start wins, a success anywhere clears it. Before, each replica knows its own only.
"""

from collections import deque
from dataclasses import dataclass
from typing import TypeVar

from worker.domain.webhook import Webhook

LONGEST_DOUBT = 600.0
"""Seconds of failing after which the start is written; a tenth of the limit, if that is less."""

LONGEST_PAUSE = 15.0
"""Between two questions to the store about one endpoint: it may be down, and results come by the thousand."""


@dataclass(frozen=True, slots=True)
class Remember:
    """Write that every attempt has failed since then, Unix milliseconds."""

    since: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Write that it is healthy."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Disable it: every attempt has failed since then, Unix milliseconds."""

    since: int


Key = tuple[str, str]
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Streak:
    """The failures that this process has seen in a row. `known`: the row was seen to say so too."""

    webhook: Webhook
    since: float
    last: float
    known: bool = False


class LongFailing:
    """Hears each attempt's end. `limit` and every `now` are Unix seconds; bounded to `most` endpoints.

    What a self-fault took does not count, in this process: `freeze` when it begins, `thaw` when it ends.
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
        """A 2xx came."""
        if not self._streaks and webhook.failing_since is None:
            return None
        key = (webhook.instance, webhook.id)
        self._streaks.pop(key, None)
        return Forget() if webhook.failing_since is not None and self._may_ask(key, now) else None

    def failed(self, webhook: Webhook, now: float) -> Remember | GiveUp | None:
        """An attempt that is the receiver's own brought no 2xx. `webhook` is what the attempt used."""
        key = (webhook.instance, webhook.id)
        streak = self._streak(key, webhook, now)
        idle, streak.last = now - streak.last, now
        if idle > self._limit / 2:
            streak.since = now  # nothing was tried meanwhile: an idle webhook is not a failing one
        decision = self._told(streak, webhook.failing_since, now, idle)
        return decision if decision is not None and self._may_ask(key, now) else None

    def freeze(self, now: float) -> None:
        self._frozen_at = now

    def thaw(self, now: float) -> None:
        if self._frozen_at is not None:
            self._frozen.append((self._frozen_at, now))
            self._frozen_at = None

    def _told(self, streak: _Streak, since: int | None, now: float, idle: float) -> Remember | GiveUp | None:
        lasting = now - streak.since >= self._doubt
        if since is not None:
            # What failed before a restart or a pause is believed after some failures of today.
            return GiveUp(since) if lasting and self._elapsed(since / 1000, now) >= self._limit else None
        if idle > self._doubt:
            # Another replica may have succeeded meanwhile. Written at once: with so few events nobody knows when else.
            streak.since, lasting = now, True
        return Remember(int(streak.since * 1000)) if lasting else None

    def _elapsed(self, since: float, now: float) -> float:
        """Seconds, without those in which the fault was ours."""
        return now - since - sum(max(0.0, end - max(start, since)) for start, end in self._frozen)

    def _streak(self, key: Key, webhook: Webhook, now: float) -> _Streak:
        """The one that goes on; a new one when the webhook was changed, or a success elsewhere cleared the row."""
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
    """As the newest; the oldest goes when there are too many."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > most:
        del kept[next(iter(kept))]

"""The lanes of all endpoints: made at the first delivery, kept in step with the webhook, forgotten at rest."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.admission.breaker import BreakerRules
from worker.admission.lanes import Lane
from worker.admission.rate import TokenBucket
from worker.domain.backoff import LONGEST_HOLD
from worker.domain.webhook import GLOBAL_ID, Webhook

IDLE_SECONDS = 300.0
FORGET_SECONDS = 2 * LONGEST_HOLD
"""A lane at rest is kept for IDLE_SECONDS; one with a bad record until nothing that it parked can be left."""

_ROUNDS = 240  # ticks in which every lane is looked at once: about a minute


@dataclass(frozen=True, slots=True)
class Caps:
    """WORKER_CONCURRENCY, WORKER_ENDPOINT_CONCURRENCY, WORKER_GLOBAL_CONCURRENCY: attempts at once."""

    process: int = 500
    endpoint: int = 20
    global_webhook: int = 200

    def of(self, webhook: Webhook) -> int:
        """A webhook's own `concurrency` goes up to half of the process: no tenant can ask for all of it."""
        if webhook.concurrency is not None:
            return max(1, min(webhook.concurrency, self.process // 2))
        own = self.endpoint if webhook.instance or webhook.id != GLOBAL_ID else self.global_webhook
        return min(own, self.process)


class Registry:
    """`share` is this process's part of every rate limit: 1 / number of consumers. `on_moved` hears of each lane whose
    webhook has another URL now."""

    def __init__(self, caps: Caps, rules: BreakerRules, on_moved: Callable[[Lane], None]) -> None:
        self._caps = caps
        self._on_moved = on_moved
        self._rules = rules
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._rota: deque[tuple[str, str]] = deque()
        self.share = 1.0

    def __len__(self) -> int:
        return len(self._lanes)

    def lane(self, webhook: Webhook, now: float) -> Lane:
        """The endpoint's lane, with the webhook's limits as they are now."""
        key = (webhook.instance, webhook.id)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(webhook, self._caps.of(webhook), self._rules, now)
            self._rota.append(key)
            self.limit_rate(lane, now)
        elif lane.webhook is not webhook:
            if lane.webhook.url != webhook.url:
                self._on_moved(lane)
            lane.webhook = webhook
            lane.recap(self._caps.of(webhook))
            self.limit_rate(lane, now)
        elif lane.bucket is not None and lane.bucket.share != self.share:
            self.limit_rate(lane, now)
        return lane

    def limit_rate(self, lane: Lane, now: float) -> None:
        """Bring the lane's bucket in step with its webhook and the share."""
        limit = lane.webhook.rate_limit
        if limit is None:
            lane.bucket = None
        elif lane.bucket is None:
            lane.bucket = TokenBucket(limit, self.share)
        elif lane.bucket.configure(limit, self.share, now):
            lane.timed = False

    def evict(self, now: float) -> Iterator[Lane]:
        """Look at the next few lanes and forget those at rest; yields them."""
        for _ in range(min(len(self._rota), 100 + len(self._rota) // _ROUNDS)):
            key = self._rota.popleft()
            if self._at_rest(self._lanes[key], now):
                yield self._lanes.pop(key)
            else:
                self._rota.append(key)

    def _at_rest(self, lane: Lane, now: float) -> bool:
        unused = now - lane.last_used
        return unused > IDLE_SECONDS and (lane.idle(now) or (unused > FORGET_SECONDS and lane.empty))

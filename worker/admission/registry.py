"""Finds the lane of an endpoint: made at the first delivery, kept in step with its webhook, forgotten at rest."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from worker.admission.breaker import Breaker, BreakerRules
from worker.admission.lanes import Lane
from worker.admission.window import Buckets
from worker.domain.backoff import LONGEST_DELAY
from worker.domain.webhook import GLOBAL_ID, Webhook

IDLE_SECONDS = 300.0
FORGET_SECONDS = 2 * LONGEST_DELAY
"""A lane at rest is kept for IDLE_SECONDS; one with a bad record until nothing that it parked can be left."""

_ROUNDS = 240  # ticks in which every lane is checked once: about a minute


@dataclass(frozen=True, slots=True)
class Caps:
    """WORKER_CONCURRENCY, WORKER_ENDPOINT_CONCURRENCY, WORKER_GLOBAL_CONCURRENCY: attempts at once."""

    process: int = 500
    endpoint: int = 20
    global_webhook: int = 200

    def of(self, webhook: Webhook) -> int:
        """The most attempts at once that this webhook's lane may have.

        A webhook's own `concurrency` goes up to half of the process: no tenant can ask for all of it.
        """
        if webhook.concurrency is not None:
            return max(1, min(webhook.concurrency, self.process // 2))
        own = self.endpoint if webhook.instance or webhook.id != GLOBAL_ID else self.global_webhook
        return min(own, self.process)


class Registry:
    """The lanes of all endpoints.

    `share` is this process's part of every rate limit: 1 / number of consumers. `on_moved` is called with each lane
    whose webhook has another URL now.
    """

    def __init__(self, caps: Caps, rules: BreakerRules, on_moved: Callable[[Lane], None]) -> None:
        self._caps = caps
        self._on_moved = on_moved
        self._unfailed = Breaker(rules, Buckets(rules.window_seconds))
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._rota: deque[tuple[str, str]] = deque()
        self.share = 1.0

    def __len__(self) -> int:
        return len(self._lanes)

    def lane(self, webhook: Webhook, now: float) -> Lane:
        """The endpoint's lane, with the webhook's limits as they are now.

        Kept with the webhook: found by its name, each of 10,000 endpoints costs four misses of the processor's cache.
        """
        try:
            lane: Lane = webhook.lane
        except AttributeError:
            return self._by_name(webhook, now)
        if lane.webhook is webhook and lane.home is self and lane.rate_share == self.share:
            return lane
        return self._by_name(webhook, now)

    def _by_name(self, webhook: Webhook, now: float) -> Lane:
        key = (webhook.instance, webhook.id)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self, webhook, self._caps.of(webhook), self._unfailed, now)
            self._rota.append(key)
            lane.limit_rate(self.share, now)
        elif lane.webhook is not webhook:
            if lane.webhook.url != webhook.url:
                self._on_moved(lane)
            lane.follow(webhook, self._caps.of(webhook), self.share, now)
        elif lane.rate_share != self.share:
            lane.limit_rate(self.share, now)
        object.__setattr__(webhook, "lane", lane)  # it is frozen, and this is no part of what it says
        return lane

    def evict(self, now: float) -> Iterator[Lane]:
        """Forgets those of the next few lanes that are at rest, and yields them."""
        for _ in range(min(len(self._rota), 100 + len(self._rota) // _ROUNDS)):
            key = self._rota.popleft()
            if self._at_rest(self._lanes[key], now):
                yield self._forget(key)
            else:
                self._rota.append(key)

    def _forget(self, key: tuple[str, str]) -> Lane:
        lane = self._lanes.pop(key)
        if getattr(lane.webhook, "lane", None) is lane:
            object.__delattr__(lane.webhook, "lane")
        return lane

    def _at_rest(self, lane: Lane, now: float) -> bool:
        unused = now - lane.last_used
        return unused > IDLE_SECONDS and (lane.idle(now) or (unused > FORGET_SECONDS and lane.empty))

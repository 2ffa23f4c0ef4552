"""The lane of one endpoint: its attempts in flight, the deliveries that wait in it, its pace and its limits."""

from collections import deque
from enum import IntEnum
from math import inf
from typing import NamedTuple

from worker.admission.backlog import Backlog
from worker.admission.breaker import CLOSED, Breaker
from worker.admission.rate import TokenBucket
from worker.admission.window import Tally
from worker.delivery.ports import Turn
from worker.domain.backoff import Schedule
from worker.domain.routing import Delivery
from worker.domain.webhook import UNORDERED, Webhook

FIRST_LIMIT = 4
"""Attempts at once that a new endpoint gets before it has shown anything."""

SLOW_SECONDS = 2.0
"""An attempt older than this is slow, and so is its lane."""

_ASSUMED_LATENCY = 0.5

_NEVER = -inf
"""A time before every reading of the clock; one object that all lanes share."""


class Pool(IntEnum):
    """How fast an endpoint has shown itself to be; it decides which places of the process its lane may use."""

    QUICK = 0
    """Its last finished attempt took no longer than SLOW_SECONDS."""
    NEW = 1
    """It has finished none, and none is older than that."""
    SLOW = 2
    """Its last finished attempt took longer, or one in flight is older."""


QUICK, NEW, SLOW = Pool.QUICK, Pool.NEW, Pool.SLOW


class Waiter(NamedTuple):
    """A delivery that waits in a lane since the monotonic time `since`."""

    since: float
    delivery: Delivery
    turn: Turn


_NONE_WAIT: deque[Waiter] = deque()  # shared and never filled: an empty deque of its own is 700 bytes a lane


class Lane:
    """The state of one endpoint. Only its own methods change it; `breaker`, `bucket` and `backlog` are its parts.
    `home` is the registry that it belongs to, `rate_share` the process's part of each rate as it was last told.
    Until its first failure, or another URL, `breaker` is that of all endpoints that have not failed: of 10,000 breakers
    each would be some misses of the processor's cache, a few hundredths of a delivery.

    `limit` moves between 1 and `cap`, as a TCP sender's window does (RFC 5681, 3.1): one more after each success until
    the first failure, then after `limit` successes in a row; half after a failure (once for all in flight together).
    """

    __slots__ = (
        "_done",
        "_measured",
        "_requests",
        "_successes",
        "_window",
        "backlog",
        "born",
        "breaker",
        "bucket",
        "cap",
        "deferred_until",
        "home",
        "in_flight",
        "last_pool",
        "last_used",
        "latency",
        "limit",
        "old",
        "pool",
        "rate_share",
        "shrunk_at",
        "waiting",
        "webhook",
    )

    def __init__(self, home: object, webhook: Webhook, cap: int, breaker: Breaker, now: float) -> None:
        self.home = home
        self.webhook = webhook
        self.cap = cap
        self.born = now
        self.limit = min(FIRST_LIMIT, cap)
        self.breaker = breaker
        self._requests: Tally | None = Tally()  # for the first failure; then the breaker has them
        self.rate_share = 1.0
        self.bucket: TokenBucket | None = None
        self.backlog: Backlog | None = None
        self.waiting = _NONE_WAIT
        self.in_flight = 0
        self.old = 0  # attempts in flight that are older than SLOW_SECONDS
        self.pool = NEW
        self.last_pool = NEW  # what its last finished attempt says
        self.deferred_until = _NEVER
        self.shrunk_at = _NEVER
        self.last_used = now
        self.latency = _ASSUMED_LATENCY
        self._successes = 0
        self._done = 0
        self._window: float | None = None
        self._measured: float | None = None

    def ready(self, now: float) -> bool:
        """Whether its own rules let an attempt start now; the process's places are not asked."""
        breaker = self.breaker
        closed = breaker.state is CLOSED
        if self.in_flight >= (self.limit if closed else self.cap) or now < self.deferred_until:
            return False
        if not closed and not breaker.permits(now):
            return False
        return self.bucket is None or now >= self.bucket.ready_at

    # A delivery waits, an attempt starts, grows old and ends.

    def wait(self, waiter: Waiter) -> None:
        if self.waiting is _NONE_WAIT:
            self.waiting = deque()
        self.waiting.append(waiter)

    def next_waiter(self, *, last: bool = False) -> Waiter:
        """The first that waits leaves the lane, or the last."""
        waiter = self.waiting.pop() if last else self.waiting.popleft()
        if not self.waiting:
            self.waiting = _NONE_WAIT
        return waiter

    def start(self, now: float) -> None:
        """One more attempt in flight, and a token spent."""
        if not self.in_flight:
            self.last_used = now
        self.in_flight += 1
        if self.bucket is not None:
            self.bucket.take(now)

    def grow_old(self) -> None:
        """An attempt in flight has become older than SLOW_SECONDS."""
        self.old += 1
        self.latency = max(self.latency, SLOW_SECONDS)

    def end(self) -> None:
        """One attempt that had not been slow has ended."""
        self.in_flight -= 1

    def end_old(self) -> None:
        """One attempt that had been slow (`grow_old`) has ended."""
        self.in_flight -= 1
        self.old -= 1

    # What an attempt's result does to the lane.

    def succeeded(self, epoch: int, now: float) -> bool:
        """An attempt that was started in this epoch of the breaker succeeded. See Breaker.succeeded."""
        self._successes += 1
        if self._successes >= self.limit or self.shrunk_at == _NEVER:
            self._successes = 0
            if self.limit < self.cap:
                self.limit += 1
        if self._requests is None:
            return self.breaker.succeeded(epoch, now)
        self._requests.add(self.breaker.buckets.at(now))
        return False

    def own_breaker(self) -> Breaker:
        """The breaker, which is no other lane's from now on."""
        if self._requests is not None:
            self.breaker = self.breaker.own(self._requests)
            self._requests = None
        return self.breaker

    def failed(self, started: float, now: float) -> None:
        """An attempt that was started at `started` failed."""
        self._successes = 0
        if started > self.shrunk_at:
            self.limit = max(1, self.limit // 2)
            self.shrunk_at = now

    def reopen(self) -> None:
        """After a canary's success: one at a time, then growing."""
        self.limit = 1
        self._successes = 0

    def acquit(self) -> None:
        """The webhook has another URL: what the receiver there did does not count against the new one."""
        self.own_breaker().reset()
        self.deferred_until = _NEVER
        self.limit = max(self.limit, min(FIRST_LIMIT, self.cap))

    def defer(self, until: float) -> None:
        """The receiver asked to wait (Retry-After): no attempt starts before then, monotonic seconds."""
        self.deferred_until = max(self.deferred_until, until)

    def park(self, now: float, ahead: float, schedule: Schedule) -> int:
        """The delay in seconds of a delivery that is parked because the lane is full, with `ahead` before it."""
        if self.backlog is None:
            self.backlog = Backlog()
        return self.backlog.park(now, self.rate, ahead, schedule)

    # What its webhook and the process make of it.

    def follow(self, webhook: Webhook, cap: int, share: float, now: float) -> None:
        """The webhook has been looked up anew: its limits are these from now on."""
        self.webhook = webhook
        self.cap = cap
        self.limit = min(self.limit, cap)
        self.limit_rate(share, now)

    def limit_rate(self, share: float, now: float) -> None:
        """Bring the token bucket in step with the webhook; `share` is this process's part of the rate.

        What is delivered in order comes from one process alone.
        """
        self.rate_share = share
        part = share if self.webhook.order == UNORDERED else 1.0
        limit = self.webhook.rate_limit
        if limit is None:
            self.bucket = None
        elif self.bucket is None:
            self.bucket = TokenBucket(limit, part)
        else:
            self.bucket.configure(limit, part, now)

    def join(self, pool: Pool) -> None:
        """Moves the lane to this pool; only Places calls it, with its counts."""
        self.pool = pool

    def completed(self, seconds: float, now: float) -> None:
        """Learn its pace from an attempt that took `seconds`."""
        self.latency += (1.0 if self.last_pool is NEW else 0.2) * (seconds - self.latency)
        self.last_pool = QUICK if seconds <= SLOW_SECONDS else SLOW
        self.last_used = now
        if self.waiting:
            self._measure(now)
        else:
            self._window = self._measured = None

    @property
    def rate(self) -> float:
        """Completions a second that it can be expected to make.

        Limit over latency, or fewer if it made fewer while there were always deliveries waiting (the process
        was full); never more than its rate limit.
        """
        rate = self.limit / max(self.latency, 0.001)
        if self._measured is not None:
            rate = min(rate, self._measured)
        return rate if self.bucket is None else min(rate, self.bucket.per_second)

    @property
    def empty(self) -> bool:
        return not (self.in_flight or self.waiting)

    def idle(self, now: float) -> bool:
        """Whether the lane can be forgotten without losing more than its pace."""
        if not self.empty or now < self.deferred_until or not self.breaker.clean(now):
            return False
        if self.backlog is not None:
            self.backlog.expire(now)
            if self.backlog.total:
                return False
        return self.bucket is None or self.bucket.full(now)

    def stalled(self, now: float) -> float:
        """Seconds for which no attempt has ended while some are in flight."""
        return now - self.last_used if self.in_flight else 0.0

    def _measure(self, now: float) -> None:
        if self._window is None:
            self._window, self._done = now, 0
            return
        self._done += 1
        elapsed = now - self._window
        if elapsed >= 1.0:
            rate = self._done / elapsed
            self._measured = rate if self._measured is None else (self._measured + rate) / 2
            self._window, self._done = now, 0

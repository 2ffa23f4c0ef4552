"""The circuit breaker of one endpoint: a state machine without a clock of its own."""

from dataclasses import dataclass
from enum import Enum

from worker.admission.window import Buckets, Tally
from worker.domain.verdict import HONOURS_RETRY_AFTER, Answered, Failure, Result

LONGEST_OPEN = 600.0
"""Seconds: an outage of hours is still probed every ten minutes, if anything arrives."""

_FAILED_STATUSES = frozenset({408, 429})


class Health(Enum):
    """What an attempt says about its endpoint."""

    ALIVE = "alive"
    FAILED = "failed"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"


ALIVE, FAILED, DEFERRED, UNKNOWN = Health.ALIVE, Health.FAILED, Health.DEFERRED, Health.UNKNOWN


def health_of(result: Result) -> Health:
    """What one attempt's result says about its endpoint.

    | result | health | breaker | lane |
    | --- | --- | --- | --- |
    | any other status: 2xx, 3xx, 4xx, 410 | ALIVE: a rejection is an answer | success | grows |
    | 408, 429, 5xx, timeout, connect, DNS, TLS | FAILED | failure | shrinks |
    | no tunnel through the proxy | FAILED: not charged, but no storm of retries either | failure | shrinks |
    | 429 or 503 with Retry-After | DEFERRED: Retry-After says all | unmoved | shrinks, deferred |
    | forbidden by the egress rules | UNKNOWN: nothing was sent | unmoved | unmoved |
    """
    if isinstance(result, Answered):
        status = result.status
        if result.retry_after is not None and status in HONOURS_RETRY_AFTER:
            return DEFERRED
        return FAILED if status >= 500 or status in _FAILED_STATUSES else ALIVE
    return UNKNOWN if result.failure is Failure.REFUSED else FAILED


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """The BREAKER_ settings: opens after `failures` in a row, or when at least `failure_rate` of at least
    `min_requests` in the last `window_seconds` failed; the first probe comes after `open_seconds`."""

    failures: int = 10
    failure_rate: float = 0.5
    min_requests: int = 20
    window_seconds: float = 60.0
    open_seconds: float = 30.0


class State(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN
"""Python 3.11 takes 0.2 us to find a member in its Enum, and an attempt asks fifteen times."""


class Breaker:
    """Stops attempts to an endpoint that fails, and lets one through at times to see whether it is well again (canary).

    CLOSED -> OPEN -> HALF_OPEN (one canary is out) -> CLOSED or OPEN again.

    Every attempt carries the `epoch` it was started in; each change of state begins a new one, and a result
    from an earlier epoch changes nothing: what was in flight when the circuit opened cannot close it,
    nor reopen it after its recovery.
    """

    __slots__ = (
        "_failures",
        "_requests",
        "_rules",
        "buckets",
        "consecutive",
        "epoch",
        "open_until",
        "opened_at",
        "state",
    )

    def __init__(self, rules: BreakerRules, buckets: Buckets, requests: Tally | None = None) -> None:
        """`requests`: those of its endpoint until now, none of which failed."""
        self._rules = rules
        self.buckets = buckets
        self.state = CLOSED
        self.epoch = 0
        self.open_until = 0.0
        self.opened_at = 0.0
        self.consecutive = 0
        # Of the window.
        self._requests = requests or Tally()
        self._failures = Tally()

    def own(self, requests: Tally) -> "Breaker":
        """A new one by the same rules, for the endpoint that has had these requests."""
        return Breaker(self._rules, self.buckets, requests)

    def permits(self, now: float) -> bool:
        """Whether an attempt may start: closed, or the open time is over and no canary is out."""
        state = self.state
        return state is CLOSED or (state is OPEN and now >= self.open_until)

    def started(self) -> int:
        """An attempt starts (`permits` held): the epoch that its result must name."""
        if self.state is OPEN:
            self.state = HALF_OPEN
        return self.epoch

    def succeeded(self, epoch: int, now: float) -> bool:
        """An attempt succeeded. True: it was the canary, and the circuit is closed again."""
        if epoch != self.epoch:
            return False
        if self.state is CLOSED:
            self.consecutive = 0
            self._requests.add(self.buckets.at(now))
            return False
        self.reset()
        return True

    def failed(self, epoch: int, now: float) -> bool:
        """An attempt failed. True: the circuit opened, or stays open because its canary failed."""
        if epoch != self.epoch:
            return False
        if self.state is CLOSED:
            if not self._is_too_much(now):
                return False
            self.opened_at = now
        self._open(now)
        return True

    def released(self, epoch: int, now: float) -> None:
        """An attempt ended and taught nothing. If it was the canary, the next attempt is one."""
        if epoch == self.epoch and self.state is HALF_OPEN:
            self.state = OPEN
            self.open_until = now
            self.epoch += 1

    def deferred(self, epoch: int, now: float) -> None:
        """An answer with Retry-After: the lane is deferred anyway; the circuit stays open if that was its canary."""
        if epoch == self.epoch and self.state is HALF_OPEN:
            self._open(now)

    def reset(self) -> None:
        """Closed, with a clean record."""
        self.state = CLOSED
        self.epoch += 1
        self._forget()

    def clean(self, now: float) -> bool:
        """Closed, and without failures in its record: the lane may be forgotten."""
        return self.state is CLOSED and not (self.consecutive or self._failures.total(self.buckets.at(now)))

    def _open(self, now: float) -> None:
        # A twentieth of the outage: half of what deliveries are parked for, so that a delivery that comes back after
        # the recovery does not find a circuit that no attempt has probed since.
        outage = (now - self.opened_at) / 20
        self.open_until = now + max(self._rules.open_seconds, min(outage, LONGEST_OPEN))
        self.state = OPEN
        self.epoch += 1

    def _is_too_much(self, now: float) -> bool:
        bucket, rules = self.buckets.at(now), self._rules
        self.consecutive += 1
        self._requests.add(bucket)
        self._failures.add(bucket)
        if self.consecutive >= rules.failures:
            return True
        requests, failures = self._requests.total(bucket), self._failures.total(bucket)
        return requests >= rules.min_requests and failures >= rules.failure_rate * requests

    def _forget(self) -> None:
        self.consecutive = 0
        self._requests, self._failures = Tally(), Tally()

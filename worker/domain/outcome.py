"""How a delivery leaves this process, and why: five outcomes, each with its own closed set of reasons.

The reasons' values are labels of `deliveries_total` and of the log; an operator's dashboards hold them.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import get_args, get_type_hints


class _Reason(StrEnum):
    """`label` is how metrics, logs and history name it: its `value`, which an Enum looks up in Python at 0.5 us."""

    label: str

    def __init__(self, value: str) -> None:
        self.label = value


class DeliveredReason(_Reason):
    """Why a delivery is done."""

    OK = "ok"


class SkipReason(_Reason):
    """Why an event is not sent to a webhook, or to none at all."""

    NO_WEBHOOK = "no_webhook"
    DISABLED = "disabled"
    EVENT_NOT_ENABLED = "event_not_enabled"
    WEBHOOK_GONE = "webhook_gone"
    DUPLICATE = "duplicate"
    FILTERED = "filtered"
    STALE = "stale"
    SUPERSEDED = "superseded"
    PAUSED = "paused"


class RetryReason(_Reason):
    """What an attempt failed of: the class of its status, or why none came."""

    STATUS_3XX = "3xx"
    STATUS_4XX = "4xx"
    STATUS_5XX = "5xx"
    TIMEOUT = "timeout"
    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"


class ParkReason(_Reason):
    """Why no attempt was made, or why one was not charged."""

    ENDPOINT_BUSY = "endpoint_busy"
    CIRCUIT_OPEN = "circuit_open"
    RETRY_AFTER = "retry_after"
    RATE_LIMITED = "rate_limited"
    SELF_FAULT = "self_fault"
    CONFIG_UNAVAILABLE = "config_unavailable"
    SHUTDOWN = "shutdown"
    INTERNAL = "internal"
    HANDED_BACK = "handed_back"
    PAUSED = "paused"


class DeadReason(_Reason):
    """Why a delivery was given up."""

    INVALID_EVENT = "invalid_event"
    BAD_URL = "bad_url"
    BAD_HEADERS = "bad_headers"
    TOO_LARGE = "too_large"
    EGRESS_REFUSED = "egress_refused"
    REJECTED = "rejected"
    GONE = "gone"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    EXPIRED = "expired"
    DISABLED = "disabled"
    INTERNAL = "internal"
    TOO_LARGE_FOR_BROKER = "too_large_for_broker"


@dataclass(frozen=True, slots=True)
class Delivered:
    """A 2xx status line came."""

    reason: DeliveredReason = DeliveredReason.OK


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nobody wants it."""

    reason: SkipReason


@dataclass(frozen=True, slots=True)
class Retried:
    """An attempt failed; the next one is due after `delay` seconds in a delay queue."""

    reason: RetryReason
    delay: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Parked:
    """No attempt was made or charged; offered again after `delay` seconds (0: at once, through `retries`).

    HANDED_BACK is the one parking without a publish: the broker still has, or gets back, the message. `error`: why an
    attempt that was made is not charged. `free_in`: seconds until a rate limit lets the next attempt start, for whoever
    keeps it in memory; what is published waits for `delay`.
    """

    reason: ParkReason
    delay: int = 0
    error: str = ""
    free_in: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """Given up; kept in the dead-letter queue until an operator redrives or purges it."""

    reason: DeadReason
    error: str = ""


Outcome = Delivered | Skipped | Retried | Parked | DeadLettered

REASONS: dict[type[Outcome], tuple[StrEnum, ...]] = {
    outcome: tuple(get_type_hints(outcome)["reason"]) for outcome in get_args(Outcome)
}
"""Every reason that each outcome can have, as its type declares: the series that exist at zero from the start."""

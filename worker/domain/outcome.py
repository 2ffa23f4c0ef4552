"""How a delivery leaves this process, and why: closed sets that are also the metric labels."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why an outcome came about. Every reason is a label value of `deliveries_total`."""

    OK = "ok"

    NO_WEBHOOK = "no_webhook"
    DISABLED = "disabled"
    EVENT_NOT_ENABLED = "event_not_enabled"
    WEBHOOK_GONE = "webhook_gone"
    DUPLICATE = "duplicate"

    STATUS_3XX = "3xx"
    STATUS_4XX = "4xx"
    STATUS_5XX = "5xx"
    TIMEOUT = "timeout"
    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"

    ENDPOINT_BUSY = "endpoint_busy"
    CIRCUIT_OPEN = "circuit_open"
    RETRY_AFTER = "retry_after"
    RATE_LIMITED = "rate_limited"
    SELF_FAULT = "self_fault"
    CONFIG_UNAVAILABLE = "config_unavailable"
    SHUTDOWN = "shutdown"
    INTERNAL = "internal"
    HANDED_BACK = "handed_back"

    INVALID_EVENT = "invalid_event"
    BAD_URL = "bad_url"
    BAD_HEADERS = "bad_headers"
    EGRESS_REFUSED = "egress_refused"
    REJECTED = "rejected"
    GONE = "gone"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Delivered:
    """A 2xx status line came."""

    reason: Reason = Reason.OK


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nobody wants it."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Retried:
    """An attempt failed; the next one is due after `delay` seconds in a delay queue."""

    reason: Reason
    delay: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Parked:
    """No attempt was made or charged; offered again after `delay` seconds (0: at once, through `retries`).

    HANDED_BACK is the one parking without a publish: the broker still has, or gets back, the message.
    """

    reason: Reason
    delay: int = 0


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """Given up; kept in the dead-letter queue until an operator redrives or purges it."""

    reason: Reason
    error: str = ""


Outcome = Delivered | Skipped | Retried | Parked | DeadLettered

REASONS: dict[type[Outcome], tuple[Reason, ...]] = {
    Delivered: (Reason.OK,),
    Skipped: (
        Reason.NO_WEBHOOK,
        Reason.DISABLED,
        Reason.EVENT_NOT_ENABLED,
        Reason.WEBHOOK_GONE,
        Reason.DUPLICATE,
    ),
    Retried: (
        Reason.STATUS_3XX,
        Reason.STATUS_4XX,
        Reason.STATUS_5XX,
        Reason.TIMEOUT,
        Reason.CONNECT,
        Reason.DNS,
        Reason.TLS,
    ),
    Parked: (
        Reason.ENDPOINT_BUSY,
        Reason.CIRCUIT_OPEN,
        Reason.RETRY_AFTER,
        Reason.RATE_LIMITED,
        Reason.SELF_FAULT,
        Reason.CONFIG_UNAVAILABLE,
        Reason.SHUTDOWN,
        Reason.INTERNAL,
        Reason.HANDED_BACK,
    ),
    DeadLettered: (
        Reason.INVALID_EVENT,
        Reason.BAD_URL,
        Reason.BAD_HEADERS,
        Reason.EGRESS_REFUSED,
        Reason.REJECTED,
        Reason.GONE,
        Reason.ATTEMPTS_EXHAUSTED,
        Reason.EXPIRED,
        Reason.DISABLED,
        Reason.INTERNAL,
    ),
}
"""The reasons that each outcome can have: the series that exist at zero from the start."""

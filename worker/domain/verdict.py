"""What an attempt's result means: the table that decides between delivered, again and never again."""

from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.backoff import Schedule
from worker.domain.outcome import (
    DeadLettered,
    DeadReason,
    Delivered,
    Outcome,
    Parked,
    ParkReason,
    Retried,
    RetryReason,
)
from worker.domain.policy import Policy

NEVER_RETRIED = frozenset({413})
"""Refused whatever the operator lists: the same bytes will be too large again."""

HONOURS_RETRY_AFTER = frozenset({429, 503})


class Failure(StrEnum):
    """Why an attempt brought no status line. Values are labels of `attempts_total`."""

    TIMEOUT = "timeout"
    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"
    REFUSED = "refused"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class Answered:
    """The receiver sent a status line. `retry_after` is in seconds from now, if it sent one.

    `moved_to`: of a redirect, the host (and port) of its `Location` where that is another one. `text` and
    `content_type`: what a failed attempt's answer begins with, for people to read. Nothing is decided by them, and two
    answers that differ in them alone are equal.
    """

    status: int
    retry_after: float | None = None
    moved_to: str = ""
    text: str = field(default="", compare=False, repr=False)
    content_type: str = field(default="", compare=False, repr=False)

    @property
    def label(self) -> str:
        """The class of the status; one outside 200..599 counts as a server error (RFC 9110 section 15)."""
        return f"{self.status // 100}xx" if 200 <= self.status < 600 else "5xx"

    @property
    def error(self) -> str:
        moved = f", a redirect to {self.moved_to}: redirects are not followed" if self.moved_to else ""
        return f"the receiver answered {self.status}{moved}"


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No status line came. REFUSED: our own egress rules forbid the address, PROXY: the operator's proxy failed.

    `error` carries no secret.
    """

    failure: Failure
    error: str

    @property
    def label(self) -> str:
        return self.failure.value


Result = Answered | Unanswered


def status_of(result: Result | None) -> int | None:
    return result.status if isinstance(result, Answered) else None


_DELIVERED = Delivered()


def judge(result: Result, attempt: int, policy: Policy) -> Outcome:
    """The outcome of attempt number `attempt` (from 1). The rows are asked from top to bottom."""
    match result:
        case Answered(status=status) if 200 <= status < 300:
            return _DELIVERED
        case Answered(status=410):
            return DeadLettered(DeadReason.GONE, result.error)
        case Answered(status=status) if status in policy.final_statuses or status in NEVER_RETRIED:
            return DeadLettered(DeadReason.REJECTED, result.error)
        case Unanswered(failure=Failure.REFUSED):
            return DeadLettered(DeadReason.EGRESS_REFUSED, result.error)
        case Unanswered(failure=Failure.PROXY):  # ours: the receiver is not charged
            return Parked(ParkReason.SELF_FAULT, policy.schedule.covering(0), result.error)
    return _again(result, attempt, policy.schedule)


def _again(result: Result, attempt: int, schedule: Schedule) -> Outcome:
    delay = schedule.after(attempt)
    if delay is None:
        return DeadLettered(DeadReason.ATTEMPTS_EXHAUSTED, result.error)
    if isinstance(result, Answered) and result.status in HONOURS_RETRY_AFTER and result.retry_after is not None:
        delay = max(delay, schedule.covering(result.retry_after))
    return Retried(RetryReason(result.label), delay, result.error)

"""What metrics count and the log says of each outcome, and of each lookup."""

from enum import StrEnum

import msgspec

from worker.domain.outcome import Outcome


class Record(msgspec.Struct, frozen=True, gc=False):
    """How and when one delivery, or an event without any, left this process. Holds no payload and no secret.

    `id`, `event`, `webhook` are None where the message never got so far. `attempt` counts charged attempts,
    `seconds` is the time since the event was first taken, `status` the last answer's.
    """

    outcome: Outcome
    id: str | None
    instance: str | None
    event: str | None
    webhook: str | None
    attempt: int
    status: int | None
    seconds: float


class LookupResult(StrEnum):
    """How a lookup was answered: the label values of `config_lookups_total`."""

    HIT = "hit"
    NEGATIVE = "negative"
    MISS = "miss"
    STALE = "stale"
    ERROR = "error"

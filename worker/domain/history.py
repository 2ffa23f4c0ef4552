"""What is kept of every delivery for people: one row an attempt, and one for each end without an attempt."""

from dataclasses import dataclass
from typing import NamedTuple

from worker.domain.outcome import Delivered, Outcome, Parked, ParkReason, Skipped, SkipReason
from worker.domain.past import Past

KEPT_ANSWER_BYTES = 2048
"""Of a failed attempt's answer."""


REPLAYED = "replayed"
"""Reason of the row, an outcome of Parked, that a replay writes when it has published an event once more."""

UNWANTED = frozenset({SkipReason.EVENT_NOT_ENABLED, SkipReason.NO_WEBHOOK, SkipReason.FILTERED})
"""Most of all events end so. Nobody asks why: `webhook explain` says it of any event."""


def is_kept(outcome: Outcome, past: Past, *, attempted: bool, failures_only: bool) -> bool:
    """Whether there is a row of this moment. `past` is the delivery's until then.

    A delivery that is parked has not ended, but its first parking tells that its event has come. Handed back, it has
    neither: the broker delivers it again. What a replay sent has a row also where it is UNWANTED: the replay waits for
    it.
    """
    if failures_only and isinstance(outcome, Delivered | Skipped):
        return False
    if attempted:
        return True
    match outcome:
        case Parked():
            return past.parkings == 0 and outcome.reason is not ParkReason.HANDED_BACK
        case Skipped():
            return outcome.reason not in UNWANTED or past.replayed is not None
    return True


class Row(NamedTuple):
    """What happened to one delivery at one moment. Holds no request body, no header's value and no secret.

    A tuple, because one is made on the way of each delivery. `at` is Unix time in milliseconds, `ms` how long the
    attempt took (None: the row is of no attempt), `attempt` its number (0: none has been made), `size` the bytes that
    were sent or would have been, `host` the receiver's host and port. `answer` and `content_type` are a failed
    attempt's. `id` is the `webhook-id` header, or `evt_...` of an event that never became a delivery. None: not known,
    or there is none.
    """

    at: int
    id: str
    event_id: str
    instance: str | None
    webhook: str | None
    event: str | None
    chat: str | None
    outcome: str
    reason: str
    attempt: int
    status: int | None
    ms: int | None
    error: str | None
    answer: str | None
    content_type: str | None
    size: int
    host: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one producer (a run of one replica), in the order in which they were made.

    `number` is that of its first row: rows are counted from 0 over the producer's life, so that a gap between two
    batches is as many rows as were lost. (`producer`, `number`) names a batch for ever, and what it holds.
    """

    producer: str
    number: int
    replica: str
    rows: tuple[Row, ...]

"""What a delivery's moment becomes in its history."""

import re

from worker.basics.masking import MASK
from worker.delivery.attempt import Attempt
from worker.domain.choosing.quick_chat import quick_chat
from worker.domain.event import Event
from worker.domain.history import Row
from worker.domain.outcome import DeadLettered, Delivered, DeliveredReason, Outcome, Retried
from worker.domain.past import Past
from worker.domain.routing import Delivery, delivery_id
from worker.domain.verdict import Answered, Result

SHORTEST_SECRET = 6
"""Characters: a shorter value (`1`, `true`) is no secret, and would be struck out everywhere."""

_row, _OK = tuple.__new__, DeliveredReason.OK.label

_WITH_ERROR = (Retried, DeadLettered)  # a tuple: `Retried | DeadLettered` is made anew at each call

_TOKENS = ("apikey", "instanceToken")
_CREDENTIALS = re.compile(r"\b(Basic|Bearer) +[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)

CUT = "the attempt was cut when the worker stopped, or failed for a fault of the worker"


def row_of(
    outcome: Outcome,
    past: Past,
    event: Event | None,
    delivery: Delivery | None,
    attempt: Attempt | None,
    size: int,
    now: float,
) -> Row:
    """`past` as it travels on, `size` the event's in bytes, `now` Unix seconds. `attempt` None: none was made."""
    if type(outcome) is Delivered and delivery is not None and attempt is not None:
        return success(delivery, attempt, now)
    result = seconds = None
    number = past.attempts
    if attempt is not None:
        result, seconds, size = attempt.result, attempt.seconds, attempt.size
        if seconds is not None and delivery is not None:
            number = delivery.attempt
    answered = result if isinstance(result, Answered) else None
    return Row(
        at=int(now * 1000),
        id=delivery.id if delivery else _id(past, event),
        event_id=past.event_id,
        instance=event.instance if event else None,
        webhook=past.webhook_id,
        event=event.kind if event else None,
        chat=quick_chat(event.fields) if event else None,
        outcome=type(outcome).__name__,
        reason=outcome.reason.label,
        attempt=number,
        status=answered.status if answered else None,
        ms=None if seconds is None else round(seconds * 1000),
        error=_error(outcome, result, cut=result is None and seconds is not None),
        answer=_answer(answered.text, delivery) if answered and answered.text else None,
        content_type=(answered.content_type or None) if answered else None,
        size=size,
        host=delivery.target.server if delivery else None,
    )


def success(delivery: Delivery, attempt: Attempt, now: float) -> Row:
    """Of an attempt that was answered 2xx, as nearly every row is. Made by the tuple's own constructor and without
    names: a third of the price of the others. `now` is Unix seconds."""
    event, past, result, seconds = delivery.event, delivery.past, attempt.result, attempt.seconds
    return _row(
        Row,
        (
            int(now * 1000),
            delivery.id,
            past.event_id,
            event.instance,
            past.webhook_id,
            event.kind,
            quick_chat(event.fields),
            "Delivered",
            _OK,
            past.attempts + 1,
            result.status if isinstance(result, Answered) else None,
            None if seconds is None else round(seconds * 1000),
            None,
            None,
            None,
            attempt.size,
            delivery.target.server,
        ),
    )


def _id(past: Past, event: Event | None) -> str:
    """The `webhook-id` header, also of a delivery that ends before it is routed; else the event's own."""
    if event is not None and past.webhook_id is not None:
        return delivery_id(past.event_id, event.instance, past.webhook_id)
    return f"evt_{past.event_id[:32]}"


def _error(outcome: Outcome, result: Result | None, *, cut: bool) -> str | None:
    """Of a delivery that was not delivered."""
    if isinstance(outcome, _WITH_ERROR):
        return outcome.error or None
    if cut:
        return CUT
    return None if result is None else result.error


def _answer(text: str, delivery: Delivery | None) -> str:
    """What a receiver answered, without what it may have got from us: some echo the request."""
    if delivery is None:
        return text
    webhook, event = delivery.webhook, delivery.event
    tokens = filter(None, map(event.fields.get, _TOKENS))
    hidden = [*(value for _, value in webhook.headers), *webhook.secrets]
    hidden += [bytes(raw).decode(errors="replace").strip('"') for raw in tokens]
    for value in sorted(hidden, key=len, reverse=True):
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, MASK)
    return _CREDENTIALS.sub(rf"\1 {MASK}", text)

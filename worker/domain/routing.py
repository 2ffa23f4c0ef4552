"""Which webhooks get an event: where it is POSTed, under which id, and what its body names as destination."""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from worker.domain.event import Event
from worker.domain.outcome import DeadLettered, DeadReason, Skipped, SkipReason
from worker.domain.past import Past
from worker.domain.request.template import template_of
from worker.domain.target import BadUrl, Target, target_of
from worker.domain.webhook import DEFAULT_ID, Endpoint, Webhook


class Delivery(msgspec.Struct, frozen=True):
    """One event on its way to one webhook: the unit of retry, dead letter, id and metrics. A Struct: a frozen dataclass
    of six fields costs 2 us a delivery, this 0.3.

    `target` is where it is POSTed, `destination` the URL that its body names (either may hold credentials, so neither
    appears in a repr), `past.attempts` how often it was tried.
    """

    id: str
    event: Event
    webhook: Webhook
    target: Target
    destination: str
    past: Past

    def __repr__(self) -> str:
        return f"Delivery(id={self.id!r}, event={self.event!r}, webhook={self.webhook!r}, past={self.past!r})"

    @property
    def url(self) -> str:
        """With the event's path, if the webhook has one for each event, and with credentials."""
        return self.target.url

    @property
    def endpoint(self) -> Endpoint:
        return self.webhook.endpoint

    @property
    def attempt(self) -> int:
        """The number of the attempt that is next or under way, from 1."""
        return self.past.attempts + 1


def addressees(webhooks: Sequence[Webhook], operators: Webhook | None, wanted: str | None) -> Sequence[Webhook]:
    """Whom an event may go to: the instance's webhooks and the operator's, or only the one with the id `wanted`."""
    known = [*webhooks, operators] if operators else webhooks
    return known if wanted is None else [webhook for webhook in known if webhook.id == wanted]


def route(
    event: Event,
    past: Past,
    webhook: Webhook,
    neighbours: Sequence[Webhook],
    *,
    dead_when_disabled: bool = False,
) -> Delivery | Skipped | DeadLettered:
    """Filter and resolve one webhook. `neighbours` are the instance's webhooks, for the global's destination."""
    if not webhook.enabled:
        if dead_when_disabled and webhook.disabled_reason:
            return DeadLettered(DeadReason.DISABLED, f"the webhook is disabled: {webhook.disabled_reason}")
        return Skipped(SkipReason.DISABLED)
    if not webhook.wants(event.kind, event.categories):
        return Skipped(SkipReason.EVENT_NOT_ENABLED)
    if webhook.paused_at is not None and not past.returned:
        return Skipped(SkipReason.PAUSED)  # the archive has it; what comes from `retries` it may have lost by now
    template = template_of(webhook)
    try:
        target = template.target or target_of(webhook.url, event.kind if webhook.by_events else None)
    except BadUrl as error:
        return DeadLettered(DeadReason.BAD_URL, str(error))
    return Delivery(
        id=delivery_id(past.event_id, event.instance, webhook.id),
        event=event,
        webhook=webhook,
        target=target,
        destination=template.destination if webhook.instance else _destination(webhook, event.kind, neighbours),
        past=past.for_webhook(webhook.id),
    )


def delivery_id(event_id: str, instance: str, webhook_id: str) -> str:
    """The `webhook-id` header: the same in every attempt, redelivery and redrive."""
    return "msg_" + sha256(f"{event_id}\0{instance}\0{webhook_id}".encode()).hexdigest()[:32]


def _destination(webhook: Webhook, kind: str, neighbours: Sequence[Webhook]) -> str:
    """What the body calls `destination` at the global webhook: the instance's own URL if it has one, else the global
    URL with the event's path, by events or not (Evolution 2.3.7). Raises BadUrl in that last case."""
    own = next((found for found in neighbours if found.id == DEFAULT_ID and found.url), None)
    if own is not None:
        return template_of(own).destination
    return target_of(webhook.url, kind).url

"""Where an ordered delivery goes when its turn has come, and why it may go nowhere: with its webhook as it is then."""

from worker.basics.clock import Clock
from worker.delivery.choosing import Choosing
from worker.delivery.open_deliveries import read
from worker.delivery.ports import Webhooks
from worker.domain.choosing.subscriptions import Subscriptions
from worker.domain.event import Event, InvalidEvent
from worker.domain.outcome import DeadLettered, DeadReason, Outcome, Skipped, SkipReason
from worker.domain.past import Past
from worker.domain.policy import Policy
from worker.domain.routing import Delivery, addressees, route
from worker.domain.webhook import Webhook
from worker.ordered.deciding.ports import Item
from worker.ordered.deep import parse_deep
from worker.ordered.token import OrderedToken


class OrderedRouting:
    """`now` is Unix time in seconds."""

    def __init__(self, policy: Policy, webhooks: Webhooks, choosing: Choosing, now: Clock) -> None:
        self._policy = policy
        self._webhooks = webhooks
        self._choosing = choosing
        self._now = now

    def routed(self, token: OrderedToken, item: Item, known: Subscriptions) -> Delivery | Skipped | DeadLettered:
        """`known`: the instance's webhooks. The delivery that it was before, if nothing has changed."""
        before = token.delivery
        if before is not None and known is token.known and before.past is token.past:
            return before
        found = addressees(known, self._webhooks.global_webhook, item.endpoint.webhook_id)
        if not found:
            return Skipped(SkipReason.WEBHOOK_GONE)
        if before is not None and (before.webhook is found[0] or before.webhook == found[0]):
            routed: Delivery | Skipped | DeadLettered = with_past(before, token.past)
        else:
            routed = self._route(token, found[0], known)
        if isinstance(routed, Delivery):
            token.delivery, token.known = routed, known
        return routed

    def _route(self, token: OrderedToken, webhook: Webhook, known: Subscriptions) -> Delivery | Skipped | DeadLettered:
        event = self.event(token)
        if isinstance(event, InvalidEvent):
            return DeadLettered(DeadReason.INVALID_EVENT, str(event))
        seen = self._choosing.look(event, [webhook], known) if self._choosing.looks_into(known) else None
        if seen is not None and webhook.id in seen.refused:
            return Skipped(SkipReason.FILTERED)
        dead = self._policy.dead_when_disabled
        routed = route(event, token.past, webhook, known, dead_when_disabled=dead)
        if isinstance(routed, Delivery):
            token.latest = self._choosing.taken(token.deliveries, routed, seen)
        return routed

    def event(self, token: OrderedToken) -> Event | InvalidEvent:
        return token.delivery.event if token.delivery is not None else read(token.message, self._now(), parse_deep)[1]

    def outlived(self, delivery: Delivery, token: OrderedToken) -> Outcome | None:
        """Why it is of no use any more."""
        outlived = self._choosing.outlived(delivery, token.latest)
        since, resumed = delivery.past.set_out, delivery.webhook.resumed_at
        if resumed is not None:
            since = max(since, resumed / 1000)
        if outlived is not None or not self._policy.expired(self._now() - since):
            return outlived
        return DeadLettered(
            DeadReason.EXPIRED, delivery.past.last_error or "its receiver took nothing in all that time"
        )


def with_past(delivery: Delivery, past: Past) -> Delivery:
    return Delivery(delivery.id, delivery.event, delivery.webhook, delivery.target, delivery.destination, past)

"""The webhooks that an event is for, as they are known at the moment, or why they are not."""

import asyncio
import logging
from collections.abc import Sequence

from worker.basics.clock import Clock
from worker.delivery.open_deliveries import OpenDeliveries
from worker.delivery.ports import ConfigUnavailable, Webhooks
from worker.domain.choosing.subscriptions import Subscriptions
from worker.domain.event import Event
from worker.domain.notices.receivers import NoticeReceiver, receiver
from worker.domain.outcome import DeadLettered, Parked, ParkReason
from worker.domain.past import Past
from worker.domain.policy import Policy
from worker.domain.routing import Delivery, addressees
from worker.domain.webhook import Webhook

log = logging.getLogger(__name__)


class KnownWebhooks:
    """The cache's answers (ports.Webhooks), with what becomes of an event when there is none."""

    def __init__(
        self, policy: Policy, webhooks: Webhooks, now: Clock, operators_notices: NoticeReceiver | None = None
    ) -> None:
        self._policy = policy
        self._webhooks = webhooks
        self._now = now
        self._operators_notices = operators_notices

    def addressed(self, webhooks: Subscriptions, wanted: str | None) -> Sequence[Webhook]:
        """All that hear the instance, or the one webhook or receiver of notices with this id."""
        found = addressees(webhooks, self._webhooks.global_webhook, wanted)
        if found or wanted is None:
            return found
        hearing = receiver(wanted, webhooks, self._operators_notices)
        return () if hearing is None else (hearing,)

    async def find(self, instance: str) -> Subscriptions | ConfigUnavailable:
        """From the store, unless they are cached."""
        try:
            return await self._webhooks.find(instance)
        except ConfigUnavailable as error:
            return error

    def unknown(self, error: ConfigUnavailable, past: Past) -> Parked | DeadLettered:
        """What becomes of an event while they cannot be found."""
        return self._policy.unknown(self._now() - past.set_out, str(error))

    async def ask(self, instance: str, past: Past) -> Subscriptions | Parked | DeadLettered:
        """As `find`, for one event."""
        try:
            found = await self.find(instance)
            return self.unknown(found, past) if isinstance(found, ConfigUnavailable) else found
        except asyncio.CancelledError:
            # The drain deadline. Not raised again: settling the delivery is what the task is still for.
            return Parked(ParkReason.SHUTDOWN)

    def unchanged(self, delivery: Delivery) -> bool:
        """Whether a delivery that waited may be attempted as it was admitted. False: `again` tells why not."""
        try:
            known = self._webhooks.cached(delivery.event.instance)
        except Exception:  # a fault of ours: `again` meets it, too, and says what becomes of the delivery
            log.exception("an instance's webhooks could not be looked up", extra={"instance": delivery.event.instance})
            return False
        found = () if known is None else self.addressed(known, delivery.webhook.id)
        return bool(found) and found[0] is delivery.webhook

    async def again(self, deliveries: OpenDeliveries, event: Event) -> Subscriptions | Parked | DeadLettered:
        """For an event that waited: for its turn, or for a thread."""
        if deliveries.message.lost:
            return Parked(ParkReason.HANDED_BACK)  # the broker delivers it again: a POST now would be one more repeat
        try:
            known = self._webhooks.cached(event.instance)
            return await self.ask(event.instance, deliveries.past) if known is None else known
        except Exception:
            log.exception("an instance's webhooks could not be looked up", extra={"instance": event.instance})
            return self._policy.internal(self._now() - deliveries.past.set_out)

"""What the webhooks chose, applied to the events of one replica: filtered, stale, superseded."""

import asyncio
from collections.abc import Sequence

from worker.basics.clock import Clock
from worker.delivery.known import KnownWebhooks
from worker.delivery.latest import Latest
from worker.delivery.open_deliveries import OpenDeliveries
from worker.domain.choosing.subscriptions import Look, Subscriptions, look, subscriptions
from worker.domain.choosing.timely import LatestKey, is_stale, latest_key
from worker.domain.event import Event
from worker.domain.outcome import DeadLettered, Parked, ParkReason, Skipped, SkipReason
from worker.domain.routing import Delivery
from worker.domain.webhook import Webhook

LARGE_BYTES = 64 * 1024
"""Bodies above this are looked into in a thread: of a hostile one, even skipping what nobody asks for takes 1 ms for
each 6 KB."""

MOST_LOOKS = 3
"""Into one event whose webhooks change each time meanwhile. Trade-off: then they count as they were looked with."""

Looked = tuple[Subscriptions, Look | None]
"""The webhooks as they were known, and what an event holds for them."""


class Choosing:
    """`operators`: the global webhook, whose choices are compiled once; a plan of its own, so that it needs none in
    each instance's. Trade-off: an event for which both choose is decoded twice."""

    def __init__(self, operators: Webhook | None, now: Clock) -> None:
        self._operators = subscriptions(() if operators is None else (operators,))
        self._now = now
        self._latest = Latest()

    def looks_into(self, webhooks: Subscriptions) -> bool:
        """Whether somebody wants to know what is in an event."""
        return webhooks.looks_into or self._operators.looks_into

    def puts_in_order(self, webhooks: Subscriptions) -> bool:
        """Whether somebody wants events in order."""
        return webhooks.ordered or self._operators.ordered

    def puts_all_in_order(self, webhooks: Subscriptions) -> bool:
        """Whether all that hear an instance want its events in order, and somebody hears it."""
        operators = self._operators
        if webhooks:
            return webhooks.ordered_alone and (operators.ordered_alone or not operators)
        return operators.ordered_alone

    def look(self, event: Event, addressed: Sequence[Webhook], webhooks: Subscriptions) -> Look:
        """In any thread. Never raises."""
        return look(event, (webhooks.plan, self._operators.plan), addressed)

    async def look_apart(
        self,
        known: KnownWebhooks,
        deliveries: OpenDeliveries,
        event: Event,
        webhooks: Subscriptions,
        wanted: str | None,
    ) -> Looked | Parked | DeadLettered:
        """Looks in a thread, again if the webhooks were changed meanwhile; or why it came to nothing.

        `wanted`: the one webhook that it is for.
        """
        for _ in range(MOST_LOOKS):
            looked, addressed = webhooks, known.addressed(webhooks, wanted)
            try:
                seen = await asyncio.to_thread(self.look, event, addressed, webhooks)
            except asyncio.CancelledError:  # the drain deadline, as in KnownWebhooks.ask
                return Parked(ParkReason.SHUTDOWN)
            found = await known.again(deliveries, event)
            if isinstance(found, Parked | DeadLettered):
                return found
            if found == looked:  # not `is`: without its store the cache may answer with another object each time
                break
            webhooks = found
        return looked, seen

    def taken(self, deliveries: OpenDeliveries, delivery: Delivery, seen: Look | None) -> LatestKey | None:
        """What the delivery may be superseded by; None: by nothing. One that was asked for is not."""
        webhook, event, message = delivery.webhook, delivery.event, deliveries.message
        if seen is None or not webhook.latest_only or delivery.past.asked_for:
            return None
        key = latest_key(webhook.latest_only, event.kind, seen.chat, event.instance, webhook.id)
        if key is not None:
            new = not (deliveries.late or message.redelivered or message.past is not None)
            self._latest.taken(key, delivery.past, new=new)
        return key

    def outlived(self, delivery: Delivery, key: LatestKey | None) -> Skipped | None:
        """Why the event is of no use any more. Judged when it is taken, and when its attempt starts."""
        limits = delivery.webhook.ttl_seconds
        if limits and is_stale(limits, delivery.event.kind, self._now() - delivery.past.first_seen):
            return Skipped(SkipReason.STALE)
        if key is not None and self._latest.superseded(key, delivery.past):
            return Skipped(SkipReason.SUPERSEDED)
        return None

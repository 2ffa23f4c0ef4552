"""Events from the ordered queue become deliveries, one instance's after each other, whatever a lookup takes."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from worker.basics.clock import Clocks
from worker.basics.tasks import Tasks
from worker.delivery.choosing import Choosing
from worker.delivery.duplicates import Duplicates
from worker.delivery.open_deliveries import OpenDeliveries, begun, read
from worker.delivery.ports import ConfigUnavailable, Message, Recorder, Webhooks
from worker.delivery.settle import Settler
from worker.domain.choosing.subscriptions import Subscriptions
from worker.domain.event import Event, InvalidEvent
from worker.domain.outcome import DeadLettered, Skipped, SkipReason
from worker.domain.past import Past
from worker.domain.policy import Policy
from worker.domain.routing import Delivery, addressees, route
from worker.domain.webhook import Webhook
from worker.ordered.deciding.core import Core
from worker.ordered.deciding.ports import Item
from worker.ordered.deciding.role import STANDBY
from worker.ordered.deep import parse_deep
from worker.ordered.order_key import order_key
from worker.ordered.switching import Marker, Switching, marker_in
from worker.ordered.token import OrderedToken
from worker.ordered.unknown import AGAIN_SECONDS, Lines

log = logging.getLogger(__name__)


class Intake:
    """What is for no ordered webhook is acked at once: the unordered side has it, too.

    While the store cannot say which webhooks an instance has, its events wait, un-acked. Trade-off: with the store down
    for long after a restart those fill the prefetch, and the instances that are known wait as well.
    """

    def __init__(
        self,
        policy: Policy,
        webhooks: Webhooks,
        recorder: Recorder,
        settler: Settler,
        choosing: Choosing,
        clocks: Clocks,
        sleep: Callable[[float], Awaitable[None]],
        *,
        duplicates: Duplicates | None,
        switching: Switching | None = None,
    ) -> None:
        self._webhooks = webhooks
        self._recorder = recorder
        self._settler = settler
        self._choosing = choosing
        self._now, self._monotonic = clocks
        self._sleep = sleep
        self._duplicates = duplicates
        self._switching = switching
        self._dead_when_disabled = policy.dead_when_disabled
        self._lines = Lines(webhooks, sleep)
        self._ending = Tasks()

    @property
    def unknown(self) -> int:
        """Events whose webhooks are not known yet."""
        return len(self._lines)

    def took(self, core: Core, message: Message) -> None:
        """In the order of the queue."""
        event, past = self._new_event(message), None
        if event is None:
            past, event = read(message, self._now(), parse_deep)
        if isinstance(event, InvalidEvent):
            core.first_came()
            self._aside(core, message)
            return
        instance = event.instance
        known = None if self._lines.awaits(instance) else self._webhooks.cached(instance)
        if past is None:
            if known is not None and not self._choosing.puts_in_order(known):
                core.first_came()
                message.ack()  # the unordered side's alone: neither hashed nor counted here
                return
            past = begun(message, self._now())
        if self._duplicates is not None and self._duplicates.seen(past, message.exchange, self._monotonic()):
            core.first_came()
            message.ack()
        elif known is not None:
            self._fan_out(core, message, past, event, known)
        else:
            core.first_came()
            self._lines.wait(instance, core, partial(self._fan_out, core, message, past, event))

    def _new_event(self, message: Message) -> Event | InvalidEvent | None:
        """None: it carries a past, or headers that are damaged."""
        try:
            if message.past is not None:
                return None
        except InvalidEvent:
            return None
        try:
            return parse_deep(message.body)
        except InvalidEvent as problem:
            return problem

    def _aside(self, core: Core, message: Message) -> None:
        """A marker, or what the unordered side makes a dead letter of."""
        marker = marker_in(message.body) if self._switching is not None else None
        if marker is None:
            message.ack()
        else:
            self._lines.wait(marker.instance, core, lambda _: self._marker(core, message, marker))

    def _marker(self, core: Core, message: Message, marker: Marker) -> None:
        """It ends when all that was taken before it for its webhook has ended, or is in a siding."""
        before = core.in_hand.taken_of(marker.endpoint)
        self._ending.start(self._end_switch(core, message, marker, before))

    async def _end_switch(self, core: Core, message: Message, marker: Marker, before: Sequence[Item]) -> None:
        assert self._switching is not None
        while not core.over:
            try:
                if not core.in_hand.any_of(before):
                    await self._switching.ended(marker)
                    message.ack()
                    return
            except ConfigUnavailable as error:
                log.info("a switch of order ends later: %s", error)
            await self._sleep(AGAIN_SECONDS)

    def _fan_out(self, core: Core, message: Message, past: Past, event: Event, webhooks: Subscriptions) -> None:
        if core.over:
            return
        addressed = self._addressed(webhooks, past.webhook_id)
        if core.role.state is STANDBY:
            core.first_came()
        if not addressed:
            self._for_nobody(message, past, event)
            return
        seen = self._choosing.look(event, addressed, webhooks) if self._choosing.looks_into(webhooks) else None
        deliveries = OpenDeliveries(message, past)
        deliveries.opened(len(addressed))
        for webhook in addressed:
            if webhook.order_next is not None and self._switching is not None:
                self._switching.seen(webhook)
            if past.webhook_id is None:
                self._recorder.started()
            if seen is not None and webhook.id in seen.refused:
                self._settler.without_delivery(deliveries, Skipped(SkipReason.FILTERED), event, webhook.id)
                continue
            routed = self._routed(event, past, webhook, webhooks)
            if not isinstance(routed, Delivery):
                self._settler.without_delivery(deliveries, routed, event, webhook.id)
                continue
            latest = self._choosing.taken(deliveries, routed, seen)
            token = OrderedToken(deliveries, routed.past, routed, webhooks, latest, looked_up=webhooks)
            core.took(_item(routed, token, message))
            token.looked_up = None

    def _addressed(self, webhooks: Subscriptions, wanted: str | None) -> Sequence[Webhook]:
        """Those with an order; of what a replay has published, the one that it was published for."""
        known = addressees(webhooks, self._webhooks.global_webhook, wanted)
        if wanted is not None or self._choosing.puts_all_in_order(webhooks):
            return known
        return [webhook for webhook in known if webhook.sent_in_order]

    def _for_nobody(self, message: Message, past: Past, event: Event) -> None:
        if past.webhook_id is None:
            message.ack()
        else:
            gone = Skipped(SkipReason.WEBHOOK_GONE)
            self._settler.without_delivery(OpenDeliveries(message, past), gone, event, past.webhook_id)

    def _routed(
        self, event: Event, past: Past, webhook: Webhook, neighbours: Sequence[Webhook]
    ) -> Delivery | Skipped | DeadLettered:
        if webhook.paused_at is not None:
            past = past.for_webhook(webhook.id)  # kept, not skipped: it waits in the webhook's siding
        return route(event, past, webhook, neighbours, dead_when_disabled=self._dead_when_disabled)


def _item(delivery: Delivery, token: OrderedToken, message: Message) -> Item:
    webhook, replayed = delivery.webhook, delivery.past.replayed
    return Item(
        delivery.id if replayed is None else f"{delivery.id} {replayed}",  # no copy of what had ended before
        webhook.endpoint,
        order_key(delivery.event, webhook),
        token,
        len(message.body),
        message.redelivered,
        webhook.order_block_seconds,
    )

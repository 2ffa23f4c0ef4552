"""Events from the ordered queue become deliveries, one instance's after each other, whatever a lookup takes."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from worker.basics.clock import Clocks
from worker.basics.tasks import Tasks
from worker.delivery.choosing import Choosing
from worker.delivery.duplicates import Duplicates
from worker.delivery.open_deliveries import OpenDeliveries, read
from worker.delivery.ports import ConfigUnavailable, Message, Recorder, Webhooks
from worker.delivery.settle import Settler
from worker.domain.choosing.subscriptions import Subscriptions
from worker.domain.event import Event, InvalidEvent
from worker.domain.outcome import DeadLettered, Skipped, SkipReason
from worker.domain.past import Past
from worker.domain.routing import Delivery, addressees, route
from worker.domain.webhook import UNORDERED, Webhook
from worker.ordered.core import Core
from worker.ordered.order_key import order_key
from worker.ordered.ports import Item
from worker.ordered.token import OrderedToken

AGAIN_SECONDS = 1.0
"""Before the store is asked again that could not answer."""


class Intake:
    """What is for no ordered webhook is acked at once: the unordered side has it, too.

    While the store cannot say which webhooks an instance has, its events wait, un-acked. Trade-off: with the store down
    for long after a restart those fill the prefetch, and the instances that are known wait as well.
    """

    def __init__(
        self,
        webhooks: Webhooks,
        recorder: Recorder,
        settler: Settler,
        choosing: Choosing,
        clocks: Clocks,
        sleep: Callable[[float], Awaitable[None]],
        *,
        duplicates: Duplicates | None,
        dead_when_disabled: bool,
    ) -> None:
        self._webhooks = webhooks
        self._recorder = recorder
        self._settler = settler
        self._choosing = choosing
        self._now, self._monotonic = clocks
        self._sleep = sleep
        self._duplicates = duplicates
        self._dead_when_disabled = dead_when_disabled
        self._waiting: dict[str, deque[tuple[Core, Message, Past, Event]]] = {}
        self._asking = Tasks()

    def took(self, core: Core, message: Message) -> None:
        """In the order of the queue."""
        past, event = read(message, self._now())
        if isinstance(event, InvalidEvent):
            core.first_came()
            message.ack()  # it is a dead letter of the unordered side's
            return
        if self._duplicates is not None and self._duplicates.seen(past, message.exchange, self._monotonic()):
            core.first_came()
            message.ack()
            return
        waiting = self._waiting.get(event.instance)
        known = None if waiting else self._webhooks.cached(event.instance)
        if known is not None:
            self._fan_out(core, message, past, event, known)
            return
        core.first_came()
        if waiting is not None:
            waiting.append((core, message, past, event))
            return
        self._waiting[event.instance] = deque([(core, message, past, event)])
        self._asking.start(self._ask(event.instance))

    def forget(self, core: Core) -> None:
        """Nothing that came by this connection counts any more."""
        for waiting in self._waiting.values():
            kept = [one for one in waiting if one[0] is not core]
            waiting.clear()
            waiting.extend(kept)

    async def _ask(self, instance: str) -> None:
        waiting = self._waiting[instance]
        try:
            while waiting:
                try:
                    known = await self._webhooks.find(instance)
                except ConfigUnavailable:
                    await self._sleep(AGAIN_SECONDS)
                    continue
                while waiting:
                    self._fan_out(*waiting.popleft(), known)
        finally:
            del self._waiting[instance]

    def _fan_out(self, core: Core, message: Message, past: Past, event: Event, webhooks: Subscriptions) -> None:
        if core.over:
            return
        known = addressees(webhooks, self._webhooks.global_webhook, None)
        addressed = [webhook for webhook in known if webhook.order != UNORDERED]
        core.first_came()
        if not addressed:
            message.ack()
            return
        seen = self._choosing.look(event, addressed, webhooks) if self._choosing.looks_into(webhooks) else None
        deliveries = OpenDeliveries(message, past)
        deliveries.opened(len(addressed))
        for webhook in addressed:
            self._recorder.started()
            if seen is not None and webhook.id in seen.refused:
                self._settler.without_delivery(deliveries, Skipped(SkipReason.FILTERED), event, webhook.id)
                continue
            routed = self._routed(event, past, webhook, webhooks)
            if not isinstance(routed, Delivery):
                self._settler.without_delivery(deliveries, routed, event, webhook.id)
                continue
            token = OrderedToken(deliveries, routed.past, routed)
            token.latest = self._choosing.taken(deliveries, routed, seen)
            core.took(_item(routed, token, message))

    def _routed(
        self, event: Event, past: Past, webhook: Webhook, neighbours: Sequence[Webhook]
    ) -> Delivery | Skipped | DeadLettered:
        return route(event, past, webhook, neighbours, dead_when_disabled=self._dead_when_disabled)


def _item(delivery: Delivery, token: OrderedToken, message: Message) -> Item:
    webhook = delivery.webhook
    return Item(
        delivery.id,
        webhook.endpoint,
        order_key(delivery.event, webhook),
        token,
        size=len(message.body),
        again=message.redelivered,
        block_seconds=webhook.order_block_seconds,
    )

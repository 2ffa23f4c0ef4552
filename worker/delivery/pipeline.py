"""The way of one event through the worker, in the order in which it happens.

Consume, parse, look up, fan out and filter, resolve the URL, admit, attempt, judge, settle. Everything up to the
attempt is done at once when the message comes. The attempts of what came together begin together, and what is answered
together is settled together; only a cache miss, a large body and an attempt that is out of the ordinary take a task of
their own. Whatever happens, each delivery is given to the Settler exactly once.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from worker.basics.clock import Clocks
from worker.basics.next_turn import NextTurn
from worker.basics.tasks import Tasks
from worker.delivery import choosing
from worker.delivery.attempt import LARGE_BYTES, Attempter
from worker.delivery.begun import BegunAttempts
from worker.delivery.choosing import Choosing, Looked
from worker.delivery.duplicates import Duplicates
from worker.delivery.failure_watch import FailureWatch
from worker.delivery.known import KnownWebhooks
from worker.delivery.left_to_order import LeftToOrder
from worker.delivery.open_deliveries import OpenDeliveries, past_of, read
from worker.delivery.ports import STARTED, WAITS, Message, Ports
from worker.delivery.settle import Settler
from worker.delivery.turn import DeliveryTurn
from worker.delivery.unknown import UnknownInstances
from worker.domain.choosing.subscriptions import Look, Subscriptions
from worker.domain.event import Event, InvalidEvent
from worker.domain.notices.receivers import NoticeReceiver
from worker.domain.outcome import DeadLettered, DeadReason, Outcome, Parked, ParkReason, Skipped, SkipReason
from worker.domain.past import Past
from worker.domain.policy import Policy
from worker.domain.routing import Delivery, addressees, route
from worker.domain.webhook import Webhook

log = logging.getLogger(__name__)

PARK_SECONDS = 5.0
"""After the drain deadline, for the confirms of the last publishes; then their messages are handed back."""


class Pipeline:
    """Takes messages, and settles each of them exactly once."""

    def __init__(
        self,
        policy: Policy,
        ports: Ports,
        failures: FailureWatch,
        clocks: Clocks,
        duplicates: Duplicates | None = None,
        operators_notices: NoticeReceiver | None = None,
        *,
        aside: Callable[[Message], bool] | None = None,
    ) -> None:
        """`aside` takes messages that are no events, or says that it does not."""
        self._policy = policy
        self._webhooks = ports.webhooks
        self._admission = ports.admission
        self._recorder = ports.recorder
        self._pulses = ports.pulses
        self._now, self._monotonic = clocks
        self._duplicates = duplicates
        self._aside = aside
        self._known = KnownWebhooks(policy, ports.webhooks, clocks.now, operators_notices)
        self._choosing = Choosing(ports.webhooks.global_webhook, clocks.now)
        self.left_to_order = LeftToOrder(ports, self._choosing, clocks.now)
        self._attempter = Attempter(policy, ports, failures, clocks)
        self._settler = Settler(ports.publisher, ports.recorder, clocks.now, ports.history)
        self._reading = Tasks()
        self._attempts = Tasks()
        self._unknown = UnknownInstances(self._known, self._reading, self._looked_up, self._cut, self._failed)
        self._begun = BegunAttempts(self._attempter, self._settler, self._attempts)
        self._starting = NextTurn(self._begin, self._attempter.write_begun)

    # 1. Consume.

    def take(self, message: Message) -> None:
        """Called once for each message, in order of arrival. Never blocks, never raises."""
        try:
            if len(message.body) > LARGE_BYTES:
                self._reading.start(self._read_large(message), partial(self._failed, message), message.hand_back)
            else:
                self._parsed(message, *read(message, self._now()))
        except Exception as fault:
            log.exception("an event failed unexpectedly")
            self._failed(message, fault)

    async def _read_large(self, message: Message) -> None:
        parts = await asyncio.to_thread(read, message, self._now())
        if message.lost:
            message.hand_back()
        else:
            self._parsed(message, *parts, late=True)

    def _failed(self, message: Message, fault: BaseException) -> None:
        """A fault of the worker: the event becomes a dead letter. Handed back, it would come again at once."""
        self._unrouted(OpenDeliveries(message, past_of(message, self._now())), None, _dead(fault))

    def _read(self, work: Coroutine[Any, Any, None], deliveries: OpenDeliveries, event: Event) -> None:
        """In a task, which settles the event even if the drain deadline cuts it."""
        cut = partial(self._cut, deliveries, event)
        self._reading.start(work, partial(self._failed, deliveries.message), cut)

    def _end(self, deliveries: OpenDeliveries, outcome: Outcome, event: Event | None = None) -> None:
        """The event ends without ever having been fanned out; it counts as one delivery."""
        self._recorder.started()
        self._settler.without_delivery(deliveries, outcome, event)

    # 2. Parse.

    def _parsed(self, message: Message, past: Past, event: Event | InvalidEvent, *, late: bool = False) -> None:
        deliveries = OpenDeliveries(message, past)
        deliveries.late = late
        if isinstance(event, InvalidEvent):
            if self._aside is not None and self._aside(message):
                return
            self._end(deliveries, DeadLettered(DeadReason.INVALID_EVENT, str(event)))
            return
        # What the worker published to a queue by its name was received before; Evolution Go publishes like that, too.
        if message.exchange or message.routing_key == past.routing_key:
            self._recorder.received(event.kind)
            if self._pulses is not None:
                self._pulses.heard(event, past.first_seen)
        if self._duplicates is not None and self._duplicates.seen(past, message.exchange, self._monotonic()):
            self._end(deliveries, Skipped(SkipReason.DUPLICATE), event)
            return
        webhooks = self._webhooks.cached(event.instance)
        if webhooks is None or self._unknown.awaits(event.instance):
            self._unknown.wait(deliveries, event)
        else:
            self._fan_out(deliveries, event, webhooks)

    # 3. Look up.

    def _looked_up(
        self, deliveries: OpenDeliveries, event: Event, found: Subscriptions | Parked | DeadLettered
    ) -> None:
        try:
            if isinstance(found, Parked | DeadLettered):
                self._unrouted(deliveries, event, found)
            else:
                self._fan_out(deliveries, event, found)
        except Exception as fault:
            log.exception("an event failed unexpectedly")
            self._failed(deliveries.message, fault)

    def _cut(self, deliveries: OpenDeliveries, event: Event) -> None:
        """By the drain deadline, before its webhooks were known or it was looked into."""
        self._settler.without_delivery(deliveries, Parked(ParkReason.SHUTDOWN), event)

    def _unrouted(self, deliveries: OpenDeliveries, event: Event | None, outcome: Parked | DeadLettered) -> None:
        """It ends, or is parked, before its webhooks are known: for all, or for the one that it came back for."""
        if isinstance(outcome, DeadLettered) and deliveries.past.webhook_id is None:
            self._end(deliveries, outcome, event)
        else:
            self._settler.without_delivery(deliveries, outcome, event)

    # 4. Fan out and filter, 5. resolve the URL.

    def _fan_out(
        self, deliveries: OpenDeliveries, event: Event, webhooks: Subscriptions, seen: Look | None = None
    ) -> None:
        """`seen`: it has been looked into with these webhooks."""
        wanted = deliveries.past.webhook_id
        if wanted is None:
            addressed, left = addressees(webhooks, self._webhooks.global_webhook, None), self.left_to_order
            if left.active and self._choosing.puts_in_order(webhooks) and left.came_to_both(deliveries.past):
                unordered = [webhook for webhook in addressed if webhook.sent_as_they_come]
                if addressed and not unordered:
                    left.met_one()
                    deliveries.closed()  # all of it is the ordered side's
                    return
                addressed = unordered
        else:
            addressed = self._known.addressed(webhooks, wanted)
        if not addressed and wanted is None:
            self._end(deliveries, Skipped(SkipReason.NO_WEBHOOK), event)
        elif not addressed:
            self._settler.without_delivery(deliveries, Skipped(SkipReason.WEBHOOK_GONE), event, wanted)
        elif deliveries.message.lost:
            self._settler.without_delivery(deliveries, Parked(ParkReason.HANDED_BACK), event)
        elif not self._choosing.looks_into(webhooks) or seen is not None:
            self._spread(deliveries, event, addressed, webhooks, seen)
        elif len(deliveries.message.body) <= choosing.LARGE_BYTES:
            self._spread(deliveries, event, addressed, webhooks, self._choosing.look(event, addressed, webhooks))
        else:
            self._read(self._look_into_large(deliveries, event, webhooks), deliveries, event)

    async def _look_into_large(self, deliveries: OpenDeliveries, event: Event, webhooks: Subscriptions) -> None:
        looked = await self._choosing.look_apart(self._known, deliveries, event, webhooks, deliveries.past.webhook_id)
        deliveries.late = True
        if isinstance(looked, Parked | DeadLettered):
            self._unrouted(deliveries, event, looked)
        else:
            self._fan_out(deliveries, event, *looked)

    def _spread(
        self,
        deliveries: OpenDeliveries,
        event: Event,
        addressed: Sequence[Webhook],
        webhooks: Subscriptions,
        seen: Look | None,
    ) -> None:
        deliveries.opened(len(addressed))
        for webhook in addressed:
            if deliveries.past.webhook_id is None:
                self._recorder.started()
            self._route(deliveries, event, webhook, webhooks, seen)

    def _route(
        self,
        deliveries: OpenDeliveries,
        event: Event,
        webhook: Webhook,
        neighbours: Sequence[Webhook],
        seen: Look | None,
    ) -> None:
        """A fault of the worker ends this one delivery: those that were fanned out beside it go on."""
        try:
            if seen is not None and webhook.id in seen.refused:
                self._settler.without_delivery(deliveries, Skipped(SkipReason.FILTERED), event, webhook.id)
            else:
                self._start(deliveries, event, webhook, neighbours, seen)
        except Exception as fault:
            log.exception("a delivery failed unexpectedly", extra={"webhook": webhook.id})
            self._settler.without_delivery(deliveries, _dead(fault), event, webhook.id)

    def _start(
        self,
        deliveries: OpenDeliveries,
        event: Event,
        webhook: Webhook,
        neighbours: Sequence[Webhook],
        seen: Look | None,
    ) -> None:
        policy, past = self._policy, deliveries.past
        routed = route(event, past, webhook, neighbours, dead_when_disabled=policy.dead_when_disabled)
        if (webhook.paused_at is not None or not webhook.enabled) and past.returned and policy.holds(webhook):
            held = policy.held(self._now() - past.set_out)
            self._settler.without_delivery(deliveries, held, event, webhook.id)
        elif isinstance(routed, Delivery):
            latest = self._choosing.taken(deliveries, routed, seen)
            self._admit(DeliveryTurn(self, deliveries, routed, latest))
        else:
            self._settler.without_delivery(deliveries, routed, event, webhook.id)

    # 6. Admit: the attempt starts at once, the delivery waits in its lane, or it is parked.

    def _admit(self, turn: DeliveryTurn) -> None:
        deliveries, delivery = turn.deliveries, turn.delivery
        outlived = self._choosing.outlived(delivery, turn.latest) or self._expired(delivery)
        if outlived is not None:
            self._settler.without_attempt(deliveries, outlived, delivery)
            return
        admitted = self._admission.admit(delivery, turn)
        if admitted is STARTED:
            return
        if admitted is WAITS:
            turn.waited = True
        elif isinstance(admitted, Parked):
            self.turn_passed(turn, admitted)

    def _expired(self, delivery: Delivery) -> DeadLettered | None:
        if not self._policy.expired(self._now() - delivery.past.set_out):
            return None
        error = delivery.past.last_error or "its receiver took nothing in all that time"
        return DeadLettered(DeadReason.EXPIRED, error)

    def turn_came(self, turn: DeliveryTurn) -> None:
        """The lane starts the delivery: in a task, or with all others that start in this turn of the loop."""
        if self._attempter.begins:
            self._starting.add(turn)
        else:
            self._attempt_in_a_task(turn)

    def turn_passed(self, turn: DeliveryTurn, parked: Parked) -> None:
        """The delivery is parked, at once or after it waited."""
        self._settler.without_attempt(turn.deliveries, parked, turn.delivery)

    # 7. Attempt, 8. judge, 9. settle.

    def _begin(self, turn: DeliveryTurn) -> None:
        try:
            if turn.deliveries.message.lost:
                self._not_started(turn, Parked(ParkReason.HANDED_BACK))
            elif (turn.waited and not self._as_admitted(turn)) or not self._begun.begin(turn):
                self._attempt_in_a_task(turn)
        except Exception as fault:  # as in _route, which has returned: its place in the lane is given back, too
            log.exception("a delivery failed unexpectedly", extra={"webhook": turn.delivery.webhook.id})
            self._not_started(turn, _dead(fault))

    def _as_admitted(self, turn: DeliveryTurn) -> bool:
        if self._choosing.outlived(turn.delivery, turn.latest) is not None:
            return False
        return self._known.unchanged(turn.delivery)

    def _attempt_in_a_task(self, turn: DeliveryTurn) -> None:
        self._attempts.start((self._attempt_after_waiting if turn.waited else self._attempt)(turn))

    async def _attempt(self, turn: DeliveryTurn) -> None:
        deliveries, delivery = turn.deliveries, turn.delivery
        outlived = self._choosing.outlived(delivery, turn.latest)
        if outlived is not None:
            self._not_started(turn, outlived)
            return
        self._settler.attempted(
            deliveries, delivery, await self._attempter.attempt(delivery, len(deliveries.message.body))
        )

    async def _attempt_after_waiting(self, turn: DeliveryTurn) -> None:
        """No attempt uses a configuration that was replaced before it starts, however long it waited."""
        delivery = turn.delivery
        known = await self._known.again(turn.deliveries, delivery.event)
        if isinstance(known, Parked | DeadLettered):
            self._not_started(turn, known)
        elif not (found := self._known.addressed(known, delivery.webhook.id)):
            self._not_started(turn, Skipped(SkipReason.WEBHOOK_GONE))
        elif found[0] is delivery.webhook or found[0] == delivery.webhook:
            await self._attempt(turn)
        else:
            self._admission.released(delivery)
            await self._route_again(turn, known)

    async def _route_again(self, turn: DeliveryTurn, known: Subscriptions) -> None:
        deliveries, delivery, wanted = turn.deliveries, turn.delivery, turn.delivery.webhook.id
        looked: Looked | Parked | DeadLettered = (known, None)
        if self._choosing.looks_into(known):
            looked = await self._choosing.look_apart(self._known, deliveries, delivery.event, known, wanted)
        deliveries.late = True
        if isinstance(looked, Parked | DeadLettered):
            self._settler.without_attempt(deliveries, looked, delivery)
        elif found := self._known.addressed(looked[0], wanted):
            self._route(deliveries, delivery.event, found[0], *looked)
        else:
            self._settler.without_attempt(deliveries, Skipped(SkipReason.WEBHOOK_GONE), delivery)

    def _not_started(self, turn: DeliveryTurn, outcome: Outcome) -> None:
        self._admission.released(turn.delivery)
        self._settler.without_attempt(turn.deliveries, outcome, turn.delivery)

    async def drain(self, seconds: float) -> None:
        """Finish what is under way within `seconds`; park the rest, without charging an attempt.

        Consuming must have stopped before. Nothing is left unsettled but what the broker still holds itself.
        """
        self._admission.drain()
        self._starting.flush()
        self._begun.all_go_on()
        try:
            async with asyncio.timeout(seconds):
                await self._reading.finished()
                await self._attempts.finished()
        except TimeoutError:
            log.warning("the drain deadline cut %d attempts", len(self._attempts))
        await self._reading.end()
        await self._attempts.end()
        await self._settler.finished(PARK_SECONDS)


def _dead(fault: BaseException) -> DeadLettered:
    return DeadLettered(DeadReason.INTERNAL, f"a fault of the worker: {fault!r:.200}")

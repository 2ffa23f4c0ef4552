"""The whole way of one event, step by step.

Consume, parse, look up, fan out and filter, resolve the URL, admit, attempt, judge, settle. Everything up to
the attempt is done at once when the message comes; only a cache miss, a large body and the attempt itself
take a task of their own.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from worker.basics.clock import Clock
from worker.basics.tasks import Tasks
from worker.delivery.attempt import LARGE_BYTES, Attempter
from worker.delivery.duplicates import Duplicates
from worker.delivery.policy import Policy
from worker.delivery.ports import ConfigUnavailable, Isolation, Message, Recorder, Webhooks
from worker.delivery.settle import Settler
from worker.delivery.taken import Taken, begun, read
from worker.delivery.turn import LaneTurn
from worker.domain.event import Event, InvalidEvent
from worker.domain.history import History
from worker.domain.outcome import DeadLettered, Outcome, Parked, Reason, Skipped
from worker.domain.routing import Delivery, addressees, route
from worker.domain.webhook import Webhook

log = logging.getLogger(__name__)

PARK_SECONDS = 5.0  # after the drain deadline, for the last publishes; then their messages are handed back


class Pipeline:
    """Takes messages, and settles each of them exactly once."""

    def __init__(
        self,
        *,
        policy: Policy,
        webhooks: Webhooks,
        global_webhook: Webhook | None,
        isolation: Isolation,
        attempter: Attempter,
        settler: Settler,
        recorder: Recorder,
        now: Clock,
        monotonic: Clock,
        duplicates: Duplicates | None = None,
    ) -> None:
        self._policy = policy
        self._webhooks = webhooks
        self._global = global_webhook
        self._isolation = isolation
        self._attempter = attempter
        self._settler = settler
        self._recorder = recorder
        self._now = now
        self._monotonic = monotonic
        self._duplicates = duplicates
        self._reading = Tasks()
        self._attempts = Tasks()
        self._disabling = Tasks()

    # 1. Consume.

    def take(self, message: Message) -> None:
        """Called once for each message, in order of arrival. Never blocks, never raises."""
        try:
            self._read(message)
        except Exception as fault:
            log.exception("an event failed unexpectedly")
            self._failed(message, fault)

    def _read(self, message: Message) -> None:
        if len(message.body) > LARGE_BYTES:
            self._reading.start(self._take_large(message), partial(self._failed, message))
        else:
            self._parsed(message, *read(message, self._now()))

    async def _take_large(self, message: Message) -> None:
        parts = await asyncio.to_thread(read, message, self._now())
        if message.lost:
            message.hand_back()
        else:
            self._parsed(message, *parts)

    def _failed(self, message: Message, fault: BaseException) -> None:
        """A fault of ours: kept for whoever mends it. Handed back, it would come again at once, and again."""
        self._recorder.started()
        taken = Taken(message, begun(message, self._now()))
        self._settler.without_delivery(taken, DeadLettered(Reason.INTERNAL, f"a fault of the worker: {fault!r:.200}"))

    # 2. Parse.

    def _parsed(self, message: Message, history: History, event: Event | InvalidEvent) -> None:
        taken = Taken(message, history)
        if isinstance(event, InvalidEvent):
            self._recorder.started()
            self._settler.without_delivery(taken, DeadLettered(Reason.INVALID_EVENT, str(event)))
            return
        if message.exchange:  # what comes by a queue's name was received before
            self._recorder.received(event.kind)
        if self._duplicates and self._duplicates.seen(history, message.exchange, self._monotonic()):
            self._recorder.started()
            self._settler.without_delivery(taken, Skipped(Reason.DUPLICATE), event)
            return
        self._look_up(taken, event)

    # 3. Look up.

    def _look_up(self, taken: Taken, event: Event) -> None:
        webhooks = self._webhooks.cached(event.instance)
        if webhooks is None:
            self._reading.start(self._find(taken, event), partial(self._failed, taken.message))
        else:
            self._fan_out(taken, event, webhooks)

    async def _find(self, taken: Taken, event: Event) -> None:
        try:
            webhooks = await self._webhooks.find(event.instance)
        except ConfigUnavailable as error:
            outcome = self._policy.unknown(self._age(taken.history), str(error))
            if isinstance(outcome, DeadLettered) and taken.history.webhook_id is None:
                self._recorder.started()  # it ends without ever having been fanned out
            self._settler.without_delivery(taken, outcome, event)
        except asyncio.CancelledError:
            self._settler.without_delivery(taken, Parked(Reason.SHUTDOWN), event)
        else:
            self._fan_out(taken, event, webhooks)

    # 4. Fan out and filter, 5. resolve the URL.

    def _fan_out(self, taken: Taken, event: Event, webhooks: Sequence[Webhook]) -> None:
        wanted = taken.history.webhook_id
        addressed = addressees(webhooks, self._global, wanted)
        if not addressed:
            self._nobody(taken, event, wanted)
            return
        if taken.message.lost:
            self._settler.without_delivery(taken, Parked(Reason.HANDED_BACK), event)
            return
        taken.opened(len(addressed))
        for webhook in addressed:
            if wanted is None:
                self._recorder.started()
            self._route(taken, event, webhook, webhooks)

    def _nobody(self, taken: Taken, event: Event, wanted: str | None) -> None:
        if wanted is None:
            self._recorder.started()
        reason = Reason.NO_WEBHOOK if wanted is None else Reason.WEBHOOK_GONE
        self._settler.without_delivery(taken, Skipped(reason), event, wanted)

    def _route(self, taken: Taken, event: Event, webhook: Webhook, neighbours: Sequence[Webhook]) -> None:
        dead_when_disabled = self._policy.dead_when_disabled
        routed = route(event, taken.history, webhook, neighbours, dead_when_disabled=dead_when_disabled)
        if isinstance(routed, Delivery):
            self._admit(taken, routed)
        else:
            self._settler.without_delivery(taken, routed, event, webhook.id)

    # 6. Admit.

    def _admit(self, taken: Taken, delivery: Delivery) -> None:
        if self._policy.expired(self._age(delivery.history)):
            error = delivery.history.last_error or "its receiver took nothing in all that time"
            self._settler.without_attempt(taken, DeadLettered(Reason.EXPIRED, error), delivery)
            return
        turn = LaneTurn(self, taken, delivery)
        parked = self._isolation.admit(delivery, turn)
        turn.waited = True
        if parked is not None:
            self._settler.without_attempt(taken, parked, delivery)

    def _age(self, history: History) -> float:
        return self._now() - history.first_seen

    # 7. Attempt, 8. judge, 9. settle.

    async def _attempt(self, taken: Taken, delivery: Delivery) -> None:
        outcome, result = await self._attempter.attempt(delivery, len(taken.message.body))
        if isinstance(outcome, DeadLettered) and outcome.reason is Reason.GONE:
            self._disable(delivery.webhook, outcome.error)
        self._settler.attempted(taken, delivery, outcome, result)

    def _disable(self, webhook: Webhook, reason: str) -> None:
        if webhook.instance:
            self._disabling.start(self._webhooks.disable(webhook.endpoint, reason, webhook))
        else:
            # The global webhook is stored in the environment alone: remembered until the restart.
            self._global = replace(webhook, enabled=False, disabled_reason=reason)

    async def _attempt_after_waiting(self, taken: Taken, delivery: Delivery) -> None:
        """No attempt uses a configuration that was replaced before it starts, however long it waited."""
        known = await self._known_now(taken, delivery)
        if isinstance(known, Parked | DeadLettered):
            self._not_started(taken, delivery, known)
        elif not (found := addressees(known, self._global, delivery.webhook.id)):
            self._not_started(taken, delivery, Skipped(Reason.WEBHOOK_GONE))
        elif found[0] is delivery.webhook or found[0] == delivery.webhook:
            await self._attempt(taken, delivery)
        else:
            self._isolation.released(delivery)
            self._route(taken, delivery.event, found[0], known)

    async def _known_now(self, taken: Taken, delivery: Delivery) -> Sequence[Webhook] | Parked | DeadLettered:
        """The instance's webhooks, or why no attempt is made."""
        if taken.message.lost:
            return Parked(Reason.HANDED_BACK)  # the broker delivers it again: a POST now would be one more repeat
        instance = delivery.event.instance
        try:
            return self._webhooks.cached(instance) or await self._webhooks.find(instance)
        except ConfigUnavailable as error:
            return self._policy.unknown(self._age(delivery.history), str(error))
        except asyncio.CancelledError:
            # The drain deadline. Not raised again: settling the delivery is what the task is still for.
            return Parked(Reason.SHUTDOWN)
        except Exception:
            log.exception("a delivery failed unexpectedly", extra={"id": delivery.id})
            return self._policy.internal(self._age(delivery.history))

    def _not_started(self, taken: Taken, delivery: Delivery, outcome: Outcome) -> None:
        self._isolation.released(delivery)
        self._settler.without_attempt(taken, outcome, delivery)

    def turn_came(self, taken: Taken, delivery: Delivery, *, waited: bool) -> None:
        """The lane starts the delivery."""
        self._attempts.start((self._attempt_after_waiting if waited else self._attempt)(taken, delivery))

    def turn_passed(self, taken: Taken, delivery: Delivery, parked: Parked) -> None:
        """The lane sends the delivery away."""
        self._settler.without_attempt(taken, parked, delivery)

    async def drain(self, seconds: float) -> None:
        """Finish what is under way within `seconds`; park the rest, without charging an attempt.

        Consuming must have stopped before. Nothing is left unsettled but what the broker still holds itself.
        """
        self._isolation.drain()
        try:
            async with asyncio.timeout(seconds):
                await self._reading.finished()
                await self._attempts.finished()
        except TimeoutError:
            log.warning("the drain deadline cut %d attempts", len(self._attempts))
        await self._reading.end()
        await self._attempts.end()
        await self._settler.finished(PARK_SECONDS)
        await self._disabling.finished()

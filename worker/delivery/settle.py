"""Settles a delivery: publish what must go on, close the delivery (ack the message), record it. In this order, but
for the history's row of an attempt, which comes first."""

import asyncio
import logging
from typing import assert_never

from tenacity import AsyncRetrying, retry_if_exception, stop_never, wait_random_exponential

from worker.basics.clock import Clock
from worker.basics.moments import iso_with_offset
from worker.basics.tasks import end
from worker.delivery.attempt import Attempt
from worker.delivery.history_row import row_of, success
from worker.delivery.open_deliveries import OpenDeliveries
from worker.delivery.ports import History, Publisher, PublishFailed, Recorder, TooLarge
from worker.domain.event import Event
from worker.domain.history import is_kept
from worker.domain.outcome import DeadLettered, DeadReason, Delivered, Outcome, Parked, ParkReason, Retried, Skipped
from worker.domain.past import Past, sendable
from worker.domain.record import Record
from worker.domain.routing import Delivery
from worker.domain.verdict import status_of

log = logging.getLogger(__name__)

LONGEST_PUBLISH_WAIT_SECONDS = 5

HOLD_SECONDS = 120.0
"""How long a message that is too large for the broker is held between two attempts, where rejecting would lose it.
Trade-off: it keeps its place in the prefetch and its bytes in memory; each end of it counts as a taking."""


_AS_IT_IS = (Delivered, Retried, Parked)
_UNCHARGED = (Delivered, Parked)  # a tuple: `Delivered | Parked` is made anew at each call, at 0.7 us a delivery


class _Settlement:
    """What is to be settled: a delivery with its outcome, or an event that never became one (`delivery` None).

    `past` is what travels on in the headers of a publish; `attempt` is None where none was made this time. `told` is
    the outcome that the history has heard.
    """

    __slots__ = ("attempt", "deliveries", "delivery", "event", "outcome", "past", "told")

    def __init__(
        self,
        deliveries: OpenDeliveries,
        outcome: Outcome,
        past: Past,
        event: Event | None,
        delivery: Delivery | None = None,
        attempt: Attempt | None = None,
    ) -> None:
        self.deliveries = deliveries
        self.outcome = outcome
        self.past = past
        self.event = event
        self.delivery = delivery
        self.attempt = attempt
        self.told: Outcome | None = None

    def record(self, now: float) -> Record:
        past, event, delivery = self.past, self.event, self.delivery
        return Record(
            outcome=self.outcome,
            id=delivery.id if delivery else None if past.webhook_id else f"evt_{past.event_id[:32]}",
            instance=event.instance if event else None,
            event=event.name if event else None,
            webhook=past.webhook_id,
            attempt=past.attempts + isinstance(self.outcome, Delivered),
            status=None if self.attempt is None else status_of(self.attempt.result),
            seconds=max(0.0, now - past.set_out),
        )

    def tell(self, history: History, now: float) -> None:
        """One row of this moment, unless it is of those that have none. An attempt is told once: what its publish came
        to is none."""
        outcome, attempt = self.outcome, self.attempt if self.told is None else None
        self.told = outcome
        attempted = attempt is not None and attempt.seconds is not None
        if is_kept(outcome, self.past, attempted=attempted, failures_only=history.failures_only):
            size = len(self.deliveries.message.body)
            history.add(row_of(outcome, self.past, self.event, self.delivery, attempt, size, now))


class Settler:
    """Turns each outcome into an ack or a confirmed publish, and into one record."""

    def __init__(self, publisher: Publisher, recorder: Recorder, now: Clock, history: History | None = None) -> None:
        self._publisher = publisher
        self._recorder = recorder
        self._now = now
        self._history = history
        self._successes = None if history is None or history.failures_only else history
        self._storing: dict[asyncio.Future[object], _Settlement] = {}
        self._holding: dict[asyncio.Future[None], _Settlement] = {}

    async def finished(self, seconds: float) -> None:
        """Waits for the confirms of every publish under way; after `seconds` their messages are handed back."""
        try:
            async with asyncio.timeout(seconds):
                while self._storing:
                    await end(*self._holding)
                    await asyncio.wait(self._storing)
        except TimeoutError:
            log.warning("%d publishes were not confirmed in time", len(self._storing))
        while self._storing or self._holding:
            await end(*self._storing, *self._holding)

    def attempted(self, deliveries: OpenDeliveries, delivery: Delivery, attempt: Attempt) -> None:
        """The outcome of an attempt; charged when it was judged a failure. Never blocks, never raises."""
        past, outcome, result = delivery.past, attempt.outcome, attempt.result
        if isinstance(outcome, Delivered):
            deliveries.closed()
            self.delivered(deliveries, delivery, attempt)
            return
        if result is not None and not isinstance(outcome, _UNCHARGED):
            status = status_of(result)
            past = past.failed(status, result.error, self._entry(status or result.label))
        self._settle(_Settlement(deliveries, outcome, past, delivery.event, delivery, attempt))

    def delivered(self, deliveries: OpenDeliveries, delivery: Delivery, attempt: Attempt) -> None:
        """Records an attempt that was answered 2xx, once its delivery is closed.

        Without a settlement and a record where nobody wants them: 20,000 instructions less.
        """
        now = self._now()
        if not self._recorder.delivered(delivery.event.instance, max(0.0, now - delivery.past.set_out)):
            self._record(_Settlement(deliveries, attempt.outcome, delivery.past, delivery.event, delivery, attempt))
        elif self._successes is not None:
            self._successes.add(success(delivery, attempt, now))

    def tried_in_place(self, deliveries: OpenDeliveries, delivery: Delivery, attempt: Attempt) -> Past:
        """A failed attempt whose delivery stays here for the next one: nothing is published or acked.

        Returns its past from now on. Never blocks, never raises.
        """
        result = attempt.result
        assert result is not None
        status = status_of(result)
        past = delivery.past.failed(status, result.error, self._entry(status or result.label))
        self._record(_Settlement(deliveries, attempt.outcome, past, delivery.event, delivery, attempt))
        return past

    def attempted_in_vain(self, deliveries: OpenDeliveries, delivery: Delivery, attempt: Attempt) -> None:
        """An attempt that ends nothing: it is not charged, or another replica makes it again. The history alone hears
        of it, if a request was sent. Never blocks, never raises."""
        if self._history is None or attempt.seconds is None:
            return
        outcome = attempt.outcome
        if not isinstance(outcome, _AS_IT_IS):
            outcome = Parked(ParkReason.HANDED_BACK)  # no publish comes of it here
        _Settlement(deliveries, outcome, delivery.past, delivery.event, delivery, attempt).tell(
            self._history, self._now()
        )

    def without_attempt(self, deliveries: OpenDeliveries, outcome: Outcome, delivery: Delivery) -> None:
        """The outcome of a delivery that was not attempted this time."""
        self._settle(_Settlement(deliveries, outcome, delivery.past, delivery.event, delivery))

    def without_delivery(
        self, deliveries: OpenDeliveries, outcome: Outcome, event: Event | None = None, webhook_id: str | None = None
    ) -> None:
        """The outcome of an event, or of one webhook's share in it, that never became a delivery."""
        past = deliveries.past if webhook_id is None else deliveries.past.for_webhook(webhook_id)
        self._settle(_Settlement(deliveries, outcome, past, event))

    def _settle(self, settlement: _Settlement) -> None:
        match settlement.outcome:
            case Delivered() | Skipped():
                self._close(settlement)
            case Parked(reason=ParkReason.HANDED_BACK):
                self._close(settlement, settled=False)
            case Retried() | Parked() | DeadLettered():
                self._store(settlement)
            case _:
                assert_never(settlement.outcome)

    def _store(self, settlement: _Settlement) -> None:
        """The history hears of an attempt before its publish is confirmed: RabbitMQ may be away for long, and the POST
        has been made, whatever becomes of its retry. An end without an attempt is told once it is one."""
        attempt = settlement.attempt
        if self._history is not None and attempt is not None and attempt.seconds is not None:
            settlement.tell(self._history, self._now())
        try:
            storing = self._publish(settlement)
        except Exception:  # a fault of the worker: the callers never raise, and the broker still has the message
            log.exception("an outcome could not be published")
            self._hand_back(settlement)
        else:
            self._watch(storing, settlement)

    def _watch(self, storing: asyncio.Future[object], settlement: _Settlement) -> None:
        """Goes on when the publish is confirmed or has failed.

        By a callback; a task of its own is only for those that failed. Beside dead receivers, a task for each parking
        would take 2 to 3 % from the other deliveries.
        """
        self._storing[storing] = settlement
        storing.add_done_callback(self._stored)

    def _stored(self, storing: asyncio.Future[object]) -> None:
        """Settles the delivery once its publish is confirmed, or publishes again."""
        settlement = self._storing.pop(storing)
        if storing.cancelled():
            self._hand_back(settlement)
            return
        match storing.exception():
            case None:
                self._close(settlement)
            case TooLarge() as error:
                self._too_large(settlement, error)
            case PublishFailed() as error:
                self._failed(settlement, error)
            case fault:
                log.error("a publish failed unexpectedly", exc_info=fault)
                self._hand_back(settlement)

    def _failed(self, settlement: _Settlement, error: PublishFailed) -> None:
        self._recorder.publish_failed()
        if settlement.deliveries.message.lost:
            self._hand_back(settlement)  # the broker delivers it again: publishing it too would make two of it
            return
        log.warning("publishing failed, trying again: %s", error)
        self._watch(asyncio.get_running_loop().create_task(self._published_later(settlement)), settlement)

    def _too_large(self, settlement: _Settlement, error: TooLarge) -> None:
        """The broker's copy of the message is the only one that can be: rejected, it is dead-lettered as it is.

        A stopping worker hands it back for the others, and where a reject would drop it (a queue of Evolution's, or
        declared by the operator) it is held and offered again.
        """
        outcome, message = settlement.outcome, settlement.deliveries.message
        if message.lost or (isinstance(outcome, Parked) and outcome.reason is ParkReason.SHUTDOWN):
            self._hand_back(settlement)
        elif message.dead_letters:
            why = f"{error}; it was to be {type(outcome).__name__} ({outcome.reason.value})"
            detail = f": {outcome.error}" if isinstance(outcome, Retried | DeadLettered) and outcome.error else ""
            settlement.outcome = DeadLettered(DeadReason.TOO_LARGE_FOR_BROKER, why + detail)
            settlement.deliveries.rejected()
            self._record(settlement)
        else:
            log.warning("a message of %s is offered again in %d s: %s", message.queue, HOLD_SECONDS, error)
            holding = asyncio.get_running_loop().create_task(asyncio.sleep(HOLD_SECONDS))
            self._holding[holding] = settlement
            holding.add_done_callback(self._held)

    def _held(self, holding: asyncio.Future[None]) -> None:
        self._hand_back(self._holding.pop(holding))

    async def _published_later(self, settlement: _Settlement) -> None:
        """Publishes until it is confirmed. Raises PublishFailed once the message is lost."""
        again = AsyncRetrying(
            retry=retry_if_exception(
                lambda error: isinstance(error, PublishFailed) and not isinstance(error, TooLarge)
            ),
            wait=wait_random_exponential(multiplier=0.1, max=LONGEST_PUBLISH_WAIT_SECONDS),
            stop=lambda _: settlement.deliveries.message.lost,
            before_sleep=lambda _: self._recorder.publish_failed(),
            reraise=True,
        )
        try:
            async for attempt in again:
                with attempt:
                    await self._publish(settlement)
        finally:
            again.stop = stop_never  # the retrying refers to itself: the message would live until the collector runs

    def _publish(self, settlement: _Settlement) -> asyncio.Future[object]:
        body, past = settlement.deliveries.message.body, settlement.past
        match settlement.outcome:
            case Retried(delay=delay):
                return self._publisher.retry(body, past, delay)
            case Parked(delay=delay):
                return self._publisher.retry(body, past.parked(), delay)
            case DeadLettered():
                return self._publisher.dead_letter(body, past, self._facts(settlement, settlement.outcome))
            case Delivered() | Skipped():
                raise AssertionError("nothing to publish")

    def _facts(self, settlement: _Settlement, outcome: DeadLettered) -> dict[str, str]:
        facts = {
            "reason": outcome.reason.value,
            "error": outcome.error,
            "dead-since": self._iso(),
            "instance": settlement.event.instance if settlement.event else None,
            "event": settlement.event.name if settlement.event else None,
            "id": settlement.delivery.id if settlement.delivery else None,
        }
        return {key: sendable(value) for key, value in facts.items() if value}

    def _close(self, settlement: _Settlement, *, settled: bool = True) -> None:
        settlement.deliveries.closed(settled=settled)
        self._record(settlement)

    def _record(self, settlement: _Settlement) -> None:
        now = self._now()
        self._recorder.settled(settlement.record(now))
        if self._history is not None and settlement.told is not settlement.outcome:
            settlement.tell(self._history, now)

    def _hand_back(self, settlement: _Settlement) -> None:
        settlement.outcome = Parked(ParkReason.HANDED_BACK)
        self._close(settlement, settled=False)

    def _entry(self, what: int | str) -> str:
        return f"{self._iso()} {what}"

    def _iso(self) -> str:
        return iso_with_offset(self._now())

"""Settle: make an outcome durable, close the delivery, record it. In this order."""

import asyncio
import logging
from typing import assert_never

from tenacity import AsyncRetrying, retry_if_exception_type, stop_never, wait_random_exponential

from worker.basics.clock import Clock
from worker.basics.moments import iso_with_offset
from worker.basics.tasks import end
from worker.delivery.ports import Publisher, PublishFailed, Recorder
from worker.delivery.taken import Taken
from worker.domain.event import Event
from worker.domain.history import History, sendable
from worker.domain.outcome import DeadLettered, Delivered, Outcome, Parked, Reason, Retried, Skipped
from worker.domain.record import Record
from worker.domain.routing import Delivery
from worker.domain.verdict import Answered, Result

log = logging.getLogger(__name__)

LONGEST_PUBLISH_WAIT_SECONDS = 5


class Settler:
    """Turns outcomes into acks and confirmed publishes, and each into one record."""

    def __init__(self, publisher: Publisher, recorder: Recorder, now: Clock) -> None:
        self._publisher = publisher
        self._recorder = recorder
        self._now = now
        self._storing: dict[asyncio.Future[object], _Leaving] = {}

    async def finished(self, seconds: float) -> None:
        """Waits for the confirms of every publish under way; after `seconds` their messages are handed back."""
        try:
            async with asyncio.timeout(seconds):
                while self._storing:
                    await asyncio.wait(self._storing)
        except TimeoutError:
            log.warning("%d publishes were not confirmed in time", len(self._storing))
        while self._storing:
            await end(*self._storing)

    def attempted(self, taken: Taken, delivery: Delivery, outcome: Outcome, result: Result | None) -> None:
        """The outcome of an attempt; charged when it was judged a failure. Never blocks, never raises."""
        history, status = delivery.history, None
        if result is not None:
            status = result.status if isinstance(result, Answered) else None
            if not isinstance(outcome, Delivered | Parked):
                history = history.failed(status, result.error, self._entry(status or result.label))
        self._settle(_Leaving(taken, outcome, history, delivery.event, delivery, status))

    def without_attempt(self, taken: Taken, outcome: Outcome, delivery: Delivery) -> None:
        """The outcome of a delivery that was not attempted this time."""
        self._settle(_Leaving(taken, outcome, delivery.history, delivery.event, delivery))

    def without_delivery(
        self, taken: Taken, outcome: Outcome, event: Event | None = None, webhook_id: str | None = None
    ) -> None:
        """The outcome of an event, or of one webhook's share in it, that never became a delivery."""
        history = taken.history if webhook_id is None else taken.history.for_webhook(webhook_id)
        self._settle(_Leaving(taken, outcome, history, event))

    def _settle(self, leaving: "_Leaving") -> None:
        match leaving.outcome:
            case Delivered() | Skipped():
                self._close(leaving)
            case Parked(reason=Reason.HANDED_BACK):
                self._close(leaving, settled=False)
            case Retried() | Parked() | DeadLettered():
                self._store(leaving)
            case _:
                assert_never(leaving.outcome)

    def _store(self, leaving: "_Leaving") -> None:
        try:
            storing = self._publish(leaving)
        except Exception:  # a fault of ours: the callers never raise, and the broker still has the message
            log.exception("an outcome could not be published")
            self._hand_back(leaving)
        else:
            self._watch(storing, leaving)

    def _watch(self, storing: asyncio.Future[object], leaving: "_Leaving") -> None:
        """A callback for each, and a task only for those that failed: beside dead receivers, a task for each parking
        would take 2 to 3 % from the others."""
        self._storing[storing] = leaving
        storing.add_done_callback(self._stored)

    def _stored(self, storing: asyncio.Future[object]) -> None:
        leaving = self._storing.pop(storing)
        if storing.cancelled():
            self._hand_back(leaving)
            return
        match storing.exception():
            case None:
                self._close(leaving)
            case PublishFailed() as error:
                self._failed(leaving, error)
            case fault:
                log.error("a publish failed unexpectedly", exc_info=fault)
                self._hand_back(leaving)

    def _failed(self, leaving: "_Leaving", error: PublishFailed) -> None:
        self._recorder.publish_failed()
        if leaving.taken.message.lost:
            self._hand_back(leaving)  # the broker delivers it again: publishing it too would make two of it
            return
        log.warning("publishing failed, trying again: %s", error)
        self._watch(asyncio.get_running_loop().create_task(self._published_later(leaving)), leaving)

    async def _published_later(self, leaving: "_Leaving") -> None:
        """Publishes until it is confirmed. Raises PublishFailed once the message is lost."""
        again = AsyncRetrying(
            retry=retry_if_exception_type(PublishFailed),
            wait=wait_random_exponential(multiplier=0.1, max=LONGEST_PUBLISH_WAIT_SECONDS),
            stop=lambda _: leaving.taken.message.lost,
            before_sleep=lambda _: self._recorder.publish_failed(),
            reraise=True,
        )
        try:
            async for attempt in again:
                with attempt:
                    await self._publish(leaving)
        finally:
            again.stop = stop_never  # it refers to itself: the message would live until the collector comes

    def _publish(self, leaving: "_Leaving") -> asyncio.Future[object]:
        body, history = leaving.taken.message.body, leaving.history
        match leaving.outcome:
            case Retried(delay=delay):
                return self._publisher.retry(body, history, delay)
            case Parked(delay=delay):
                return self._publisher.retry(body, history.parked(), delay)
            case DeadLettered():
                return self._publisher.dead_letter(body, history, self._facts(leaving, leaving.outcome))
            case Delivered() | Skipped():
                raise AssertionError("nothing to publish")

    def _facts(self, leaving: "_Leaving", outcome: DeadLettered) -> dict[str, str]:
        facts = {
            "reason": outcome.reason.value,
            "error": outcome.error,
            "dead-since": self._iso(),
            "instance": leaving.event.instance if leaving.event else None,
            "event": leaving.event.name if leaving.event else None,
            "id": leaving.delivery.id if leaving.delivery else None,
        }
        return {key: sendable(value) for key, value in facts.items() if value}

    def _close(self, leaving: "_Leaving", *, settled: bool = True) -> None:
        leaving.taken.closed(settled=settled)
        self._recorder.settled(leaving.record(self._now()))

    def _hand_back(self, leaving: "_Leaving") -> None:
        leaving.outcome = Parked(Reason.HANDED_BACK)
        self._close(leaving, settled=False)

    def _entry(self, what: int | str) -> str:
        return f"{self._iso()} {what}"

    def _iso(self) -> str:
        return iso_with_offset(self._now())


class _Leaving:
    """A delivery on its way out of this process."""

    __slots__ = ("delivery", "event", "history", "outcome", "status", "taken")

    def __init__(
        self,
        taken: Taken,
        outcome: Outcome,
        history: History,
        event: Event | None,
        delivery: Delivery | None = None,
        status: int | None = None,
    ) -> None:
        self.taken = taken
        self.outcome = outcome
        self.history = history
        self.event = event
        self.delivery = delivery
        self.status = status

    def record(self, now: float) -> Record:
        history, event, delivery = self.history, self.event, self.delivery
        return Record(
            outcome=self.outcome,
            id=delivery.id if delivery else None if history.webhook_id else f"evt_{history.event_id[:32]}",
            instance=event.instance if event else None,
            event=event.name if event else None,
            webhook=history.webhook_id,
            attempt=history.attempts + isinstance(self.outcome, Delivered),
            status=self.status,
            seconds=max(0.0, now - history.first_seen),
        )

"""One attempt: build the request, POST it, report how it ended, judge it."""

import asyncio
import logging

import msgspec

from worker.basics.clock import Clocks
from worker.delivery.failure_watch import FailureWatch
from worker.delivery.ports import Ports
from worker.domain.outcome import DeadLettered, Outcome, Parked, ParkReason
from worker.domain.policy import Policy
from worker.domain.request import NotSendable, Request, build
from worker.domain.routing import Delivery
from worker.domain.verdict import Result, judge

log = logging.getLogger(__name__)

LARGE_BYTES = 256 * 1024
"""Bodies above this are parsed, cut, hashed and signed in a thread: 20 MB of SHA-256 would hold the loop for 12 ms
or more."""


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ended. A Struct, as each delivery makes one.

    `result` is what it was judged by; None: it was cut, or no request was sent. `seconds` is how long it took, None: no
    request was sent. `size` is the body's that was sent, in bytes, or the event's.
    """

    outcome: Outcome
    result: Result | None
    seconds: float | None
    size: int


class Attempter:
    """Makes attempts; the end of every one that was started is reported to the admission exactly once."""

    def __init__(self, policy: Policy, ports: Ports, failures: FailureWatch, clocks: Clocks) -> None:
        self._policy = policy
        self._admission = ports.admission
        self._sender = ports.sender
        self._recorder = ports.recorder
        self._failures = failures
        self._now, self._monotonic = clocks

    async def attempt(self, delivery: Delivery, size: int) -> Attempt:
        """`size` is the event's, in bytes.

        Never raises, not even when cancelled: the delivery is still to be settled.
        """
        started, request = self._monotonic(), None
        try:
            request = await self._build(delivery, size)
            result = await self._sender.send(request, delivery.webhook.timeout(self._policy.timeout))
        except NotSendable as error:
            outcome: Outcome = DeadLettered(error.reason, str(error))
        except asyncio.CancelledError:
            # The drain deadline.
            outcome = Parked(ParkReason.SHUTDOWN)
        except Exception:
            log.exception("an attempt failed unexpectedly", extra={"id": delivery.id})
            outcome = self._policy.internal(self._now() - delivery.past.set_out)
        else:
            seconds = self._monotonic() - started
            return Attempt(self._judged(delivery, result, seconds), result, seconds, len(request.body))
        self._admission.released(delivery)
        if request is None:
            return Attempt(outcome, None, None, size)
        return Attempt(outcome, None, self._monotonic() - started, len(request.body))

    def _judged(self, delivery: Delivery, result: Result, seconds: float) -> Outcome:
        self._recorder.attempted(result, seconds)
        not_charged = self._admission.finished(delivery, result, seconds)
        if not_charged is not None:
            return not_charged
        outcome = judge(result, delivery.attempt, self._policy)
        self._failures.judged(delivery.webhook, outcome)
        return outcome

    async def _build(self, delivery: Delivery, size: int) -> Request:
        forward, replay = self._policy.forward_apikey, delivery.past.replayed is not None
        if size > LARGE_BYTES:
            return await asyncio.to_thread(build, delivery, self._now(), forward_apikey=forward, replay=replay)
        return build(delivery, self._now(), forward_apikey=forward, replay=replay)

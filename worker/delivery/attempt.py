"""One attempt: build the request, POST it, learn from it, judge it."""

import asyncio
import logging
from dataclasses import dataclass

from worker.basics.clock import Clock
from worker.delivery.failure_watch import FailureWatch
from worker.delivery.policy import Policy
from worker.delivery.ports import Isolation, Recorder, Sender
from worker.domain.outcome import DeadLettered, Outcome, Parked, Reason
from worker.domain.request import BadHeaders, Request, build
from worker.domain.routing import Delivery
from worker.domain.verdict import Result, Rules, judge

log = logging.getLogger(__name__)

LARGE_BYTES = 256 * 1024
"""Bodies above this are hashed and signed in a thread: 20 MB of SHA-256 would hold the loop for 12 ms or more."""


@dataclass(frozen=True, slots=True)
class AttemptRules:
    """What the operator chose. `timeout` in seconds, for a webhook without one of its own."""

    rules: Rules
    timeout: float = 30.0
    forward_apikey: bool = True


class Attempter:
    """Makes attempts; every one that was started is reported to the isolation exactly once."""

    def __init__(
        self,
        rules: AttemptRules,
        policy: Policy,
        isolation: Isolation,
        sender: Sender,
        recorder: Recorder,
        now: Clock,
        monotonic: Clock,
        failures: FailureWatch | None = None,
    ) -> None:
        self._rules = rules
        self._policy = policy
        self._isolation = isolation
        self._sender = sender
        self._recorder = recorder
        self._now = now
        self._monotonic = monotonic
        self._failures = failures

    async def attempt(self, delivery: Delivery, size: int) -> tuple[Outcome, Result | None]:
        """The outcome, and the result that it was judged by (None: nothing was sent, or it was cut by us).

        `size` is the event's, in bytes. Never raises, not even when cancelled: the delivery is still to be settled.
        """
        started = self._monotonic()
        try:
            request = await self._build(delivery, size)
            result = await self._sender.send(request, self._timeout(delivery))
        except BadHeaders as error:
            return self._given_up(delivery, DeadLettered(Reason.BAD_HEADERS, str(error)))
        except asyncio.CancelledError:
            # The drain deadline.
            return self._given_up(delivery, Parked(Reason.SHUTDOWN))
        except Exception:
            log.exception("an attempt failed unexpectedly", extra={"id": delivery.id})
            return self._given_up(delivery, self._policy.internal(self._now() - delivery.history.first_seen))
        return self._judged(delivery, result, self._monotonic() - started)

    def _judged(self, delivery: Delivery, result: Result, seconds: float) -> tuple[Outcome, Result]:
        self._recorder.attempted(result, seconds)
        not_charged = self._isolation.finished(delivery, result, seconds)
        if not_charged is not None:
            return not_charged, result
        if self._failures is not None:
            self._failures.heard(delivery.webhook, result)
        return judge(result, delivery.attempt, self._rules.rules), result

    def _given_up(self, delivery: Delivery, outcome: Outcome) -> tuple[Outcome, None]:
        self._isolation.released(delivery)
        return outcome, None

    async def _build(self, delivery: Delivery, size: int) -> Request:
        forward = self._rules.forward_apikey
        if size > LARGE_BYTES:
            return await asyncio.to_thread(build, delivery, self._now(), forward_apikey=forward)
        return build(delivery, self._now(), forward_apikey=forward)

    def _timeout(self, delivery: Delivery) -> float:
        own = delivery.webhook.timeout_ms
        return self._rules.timeout if own is None else own / 1000

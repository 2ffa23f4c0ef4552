"""One attempt: build the request, POST it, report how it ended, judge it."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Protocol

import msgspec

from worker.basics.clock import Clocks
from worker.delivery.failure_watch import FailureWatch
from worker.delivery.ports import Ports, Post, PostEnd
from worker.domain.outcome import DeadLettered, Outcome, Parked, ParkReason
from worker.domain.policy import Policy
from worker.domain.request.build import Request, build
from worker.domain.request.not_sendable import NotSendable
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


class Begun(PostEnd, Protocol):
    """An attempt without a task, of which `begin` and `answered` keep what its end needs. `size` is the body's that was
    sent."""

    started: float
    size: int
    post: Post | None
    result: Result
    seconds: float


class Attempter:
    """Makes attempts; the end of every one that was started is reported to the admission exactly once."""

    def __init__(self, policy: Policy, ports: Ports, failures: FailureWatch, clocks: Clocks) -> None:
        self._policy = policy
        self._admission = ports.admission
        self._sender = ports.sender
        self._posts = ports.posts
        self._recorder = ports.recorder
        self._failures = failures
        self._now, self._monotonic = clocks

    async def attempt(self, delivery: Delivery, size: int) -> Attempt:
        """`size` is the event's, in bytes.

        Never raises, not even when cancelled: the delivery is still to be settled.
        """
        started = self._monotonic()
        try:
            request = await self._build(delivery, size)
        except NotSendable as error:
            outcome: Outcome = DeadLettered(error.reason, str(error))
        except asyncio.CancelledError:
            outcome = Parked(ParkReason.SHUTDOWN)
        except Exception:
            log.exception("a request could not be built", extra={"id": delivery.id})
            outcome = self._internal(delivery)
        else:
            sending = self._sender.send(request, delivery.webhook.timeout(self._policy.timeout))
            return await self.rest(delivery, started, len(request.body), sending)
        self._admission.released(delivery)
        return Attempt(outcome, None, None, size)

    async def rest(self, delivery: Delivery, started: float, size: int, result: Awaitable[Result]) -> Attempt:
        """Once a request of `size` bytes was sent. Never raises, as `attempt`."""
        try:
            came = await result
        except asyncio.CancelledError:
            # The drain deadline.
            outcome: Outcome = Parked(ParkReason.SHUTDOWN)
        except Exception:
            log.exception("an attempt failed unexpectedly", extra={"id": delivery.id})
            outcome = self._internal(delivery)
        else:
            return self.judged(delivery, self._since(started), size, came)
        self._admission.released(delivery)
        return Attempt(outcome, None, self._since(started), size)

    @property
    def begins(self) -> bool:
        """Whether attempts may begin without a task."""
        return self._posts is not None

    def begin(self, delivery: Delivery, size: int, end: Begun) -> bool:
        """Begins the attempt without a task, if that is possible; else nothing has happened, and `attempt` is the way.
        For `write_begun` see ports.Posts.

        What keeps a request from being built is met again there, and settled.
        """
        if self._posts is None or size > LARGE_BYTES:
            return False
        end.started = self._monotonic()
        try:
            request = self._built(delivery)
        except NotSendable:
            return False
        except Exception:
            log.exception("a request could not be built at once", extra={"id": delivery.id})
            return False
        end.size = len(request.body)
        end.post = self._posts.begin(request, delivery.webhook.timeout(self._policy.timeout), end)
        return end.post is not None

    def write_begun(self) -> None:
        """Writes the requests of the attempts that were begun, in a row."""
        if self._posts is not None:
            self._posts.write_begun()

    def answered(self, end: Begun, result: Result) -> None:
        """The receiver's time ends now, whenever it is judged."""
        end.post = None  # they hold each other, and all that the delivery holds, until the collector comes
        end.result = result
        end.seconds = self._since(end.started)

    def judged(self, delivery: Delivery, seconds: float, size: int, result: Result) -> Attempt:
        """The attempt has ended with a result, after so many seconds."""
        self._recorder.attempted(result, seconds)
        outcome: Outcome | None = self._admission.finished(delivery, result, seconds)
        if outcome is None:
            outcome = judge(result, delivery.attempt, self._policy)
            self._failures.judged(delivery.webhook, outcome)
        return Attempt(outcome, result, seconds, size)

    def _since(self, started: float) -> float:
        return self._monotonic() - started

    def _internal(self, delivery: Delivery) -> Outcome:
        return self._policy.internal(self._now() - delivery.past.set_out)

    async def _build(self, delivery: Delivery, size: int) -> Request:
        return await asyncio.to_thread(self._built, delivery) if size > LARGE_BYTES else self._built(delivery)

    def _built(self, delivery: Delivery) -> Request:
        """Raises NotSendable."""
        forward, replay = self._policy.forward_apikey, delivery.past.replayed is not None
        return build(delivery, self._now(), forward_apikey=forward, replay=replay)

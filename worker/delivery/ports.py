"""What the flow needs from the outside: small protocols, implemented by the adapters and by fakes in tests."""

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Protocol

from worker.domain.history import History
from worker.domain.outcome import Parked
from worker.domain.record import Record
from worker.domain.request import Request
from worker.domain.routing import Delivery
from worker.domain.verdict import Result
from worker.domain.webhook import Endpoint, Webhook


class ConfigUnavailable(Exception):
    """The store cannot answer and the cache knows nothing of the instance."""


class PublishFailed(Exception):
    """The broker did not confirm a publish within the retries that its connection allows."""


class Message(Protocol):
    """One taking: a message of the broker that this process must settle exactly once."""

    @property
    def body(self) -> bytes: ...
    @property
    def history(self) -> History | None:
        """What it carries of an earlier taking; None for an event that comes from Evolution itself.

        Raises InvalidEvent when that is damaged: somebody else published to our queue.
        """

    @property
    def trace(self) -> Mapping[str, str]:
        """The W3C trace context that came with it."""

    @property
    def message_id(self) -> str | None: ...
    @property
    def exchange(self) -> str: ...
    @property
    def routing_key(self) -> str: ...
    @property
    def queue(self) -> str:
        """Where it was taken from."""

    @property
    def lost(self) -> bool:
        """Its channel is gone: the broker will deliver it again, and settling it has no effect."""

    def ack(self) -> None:
        """Done with it, for good. Never blocks, never raises (an ack on a lost channel is counted)."""

    def hand_back(self) -> None:
        """Back to its queue, unchanged. Never blocks, never raises."""


class Publisher(Protocol):
    """Routed publishes to our own queues. Each future ends at the confirm, or raises PublishFailed; cancelled, the
    publish is given up: not sent, if it has not been."""

    def retry(self, body: bytes, history: History, delay: int) -> Future[object]:
        """To the delay queue of `delay` seconds; 0: to `retries` at once."""

    def dead_letter(self, body: bytes, history: History, facts: Mapping[str, str]) -> Future[object]:
        """To the dead-letter queue. `facts`: reason, error, instance, event, id (what is known of them)."""


class Webhooks(Protocol):
    """The cached lookup of an instance's webhooks."""

    def cached(self, instance: str) -> Sequence[Webhook] | None:
        """What is known and fresh, at once; None: ask `find`. An instance without webhooks is an empty sequence."""

    async def find(self, instance: str) -> Sequence[Webhook]:
        """Asks the store (once for many concurrent callers); the last known answer when the store fails.

        Raises ConfigUnavailable when there is none.
        """

    async def disable(self, endpoint: Endpoint, reason: str, seen: Webhook | None = None) -> None:
        """The receiver said it is gone (410): send it nothing more. Never raises.

        `seen` is the webhook that the attempt used: if it has been changed since, nothing happens.
        """


class FailureMemory(Protocol):
    """What the webhooks' own rows remember of receivers that fail for long. No call raises."""

    async def failing(self, webhook: Webhook, since: int) -> None:
        """Every attempt has failed since then, Unix milliseconds; an earlier start that is there already stays."""

    async def recovered(self, webhook: Webhook) -> None:
        """One of its attempts succeeded."""

    async def give_up(self, webhook: Webhook, reason: str) -> None:
        """Disable it, unless it was changed or has recovered meanwhile."""


class Turn(Protocol):
    """What a lane calls back for a delivery that it took in; exactly one of the two, exactly once."""

    def start(self) -> None:
        """Its turn has come: make the attempt now, and report to `Isolation.finished`."""

    def park(self, parked: Parked) -> None:
        """Its turn will not come here soon: the circuit opened, or the lane was emptied."""


class Isolation(Protocol):
    """Admission: lanes, circuit breakers and rates of all endpoints."""

    def admit(self, delivery: Delivery, turn: Turn) -> Parked | None:
        """None: taken in, `turn` hears of it (perhaps before this returns). Else park it."""

    def finished(self, delivery: Delivery, result: Result, seconds: float) -> Parked | None:
        """An attempt that was started has ended after `seconds`.

        Parked when the fault is ours and not the receiver's: the attempt is then not charged.
        """

    def released(self, delivery: Delivery) -> None:
        """A started attempt was given up without a result (shutdown): its place is free, nothing is learned."""

    def drain(self) -> None:
        """Park every delivery that waits for its turn, and each that is offered from now on."""


class Sender(Protocol):
    async def send(self, request: Request, timeout: float) -> Result:
        """One POST within `timeout` seconds, answer drained within bounds. Never raises but CancelledError."""


class Recorder(Protocol):
    """Hears of everything that is counted or logged. Never raises."""

    def received(self, kind: str) -> None:
        """An event of this canonical name was taken."""

    def started(self) -> None:
        """A delivery was fanned out (or an event without any was taken)."""

    def attempted(self, result: Result, seconds: float) -> None:
        """One attempt ended."""

    def publish_failed(self) -> None:
        """A publish of a retry, a parked delivery or a dead letter was not confirmed; it may be tried again."""

    def settled(self, record: Record) -> None:
        """A delivery left this process."""

"""What delivering needs from the outside: small protocols, implemented by the adapters and by fakes in tests."""

from asyncio import Future
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from worker.domain.choosing.subscriptions import Subscriptions
from worker.domain.event import Event
from worker.domain.history import Row
from worker.domain.outcome import Parked
from worker.domain.past import Past
from worker.domain.record import Record
from worker.domain.request.build import Request
from worker.domain.routing import Delivery
from worker.domain.verdict import Result
from worker.domain.webhook import Webhook


class ConfigUnavailable(Exception):
    """The store cannot answer and the cache knows nothing of the instance."""


class PublishFailed(Exception):
    """The broker did not confirm a publish within the retries that its connection allows."""


class TooLarge(PublishFailed):
    """The broker will never take this body: it is larger than its max_message_size."""


class Early(Protocol):
    """Asked about each message that an exchange brought, is delivered for the first time and carries no past, before it
    is one of ours."""

    def passes(self, body: bytes) -> bool:
        """Whether it has ended with this: the message is to be acked then. Never raises."""


class Message(Protocol):
    """A message that the broker has delivered to this process, which must settle it exactly once."""

    @property
    def body(self) -> bytes: ...
    @property
    def past(self) -> Past | None:
        """The past of a retried, parked or redriven delivery; None for a new event, which Evolution published.

        Raises InvalidEvent when its headers are damaged: somebody else published to our queue.
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
        """The name of the queue that it was consumed from."""

    @property
    def redelivered(self) -> bool:
        """The broker has delivered it before, to this process or another one."""

    @property
    def lost(self) -> bool:
        """Its channel is gone: the broker will deliver it again, and settling it has no effect."""

    def ack(self) -> None:
        """Removes it from its queue for good. Never blocks, never raises (an ack on a lost channel is counted)."""

    def hand_back(self) -> None:
        """Requeues it, unchanged. Never blocks, never raises."""

    @property
    def dead_letters(self) -> bool:
        """Whether `reject` keeps it: its queue is known to have a dead-letter exchange."""

    def reject(self) -> None:
        """Has the broker dead-letter it, unchanged. Never blocks, never raises. Without a dead-letter exchange it would
        be lost: ask `dead_letters` first."""


class Publisher(Protocol):
    """Publishes to the worker's own queues. Each future ends at the confirm, or raises PublishFailed; cancelled, the
    publish is given up: not sent, if it has not been."""

    def retry(self, body: bytes, past: Past, delay: int) -> Future[object]:
        """To the delay queue of `delay` seconds; 0: to `retries` at once."""

    def dead_letter(self, body: bytes, past: Past, facts: Mapping[str, str]) -> Future[object]:
        """To the dead-letter queue. `facts`: reason, error, instance, event, id (what is known of them)."""


class Webhooks(Protocol):
    """The cached lookup of webhooks.

    `global_webhook` is the operator's own, which hears every instance; None if there is none.
    """

    @property
    def global_webhook(self) -> Webhook | None: ...

    def cached(self, instance: str) -> Subscriptions | None:
        """What is known and fresh, at once; None: ask `find`. An instance without webhooks is an empty sequence."""

    async def find(self, instance: str) -> Subscriptions:
        """Asks the store (once for many concurrent callers); the last known answer when the store fails.

        Raises ConfigUnavailable when there is none.
        """


class Receivers(Protocol):
    """Writes into webhooks' rows what deliveries learned of receivers. No call raises."""

    async def disable(self, webhook: Webhook, reason: str, *, if_failing: bool) -> None:
        """Send its receiver nothing more. `webhook` is what the attempt used: if it was changed since, nothing happens.

        Without `if_failing` at once, whether the row can be written or not. With it only once the row, which knows what
        all replicas saw, still says that every attempt fails; a write that failed is asked for again later.
        """

    async def failing(self, webhook: Webhook, since: int) -> None:
        """Every attempt has failed since then, Unix milliseconds; an earlier start that is there already stays."""

    async def recovered(self, webhook: Webhook) -> None:
        """One of its attempts succeeded."""


class Admitted(Enum):
    """What has become of a delivery that was admitted and not parked."""

    STARTED = "started"
    """`Turn.start` has been called."""
    WAITS = "waits"
    """One of the turn's two methods will be called, once."""


STARTED, WAITS = Admitted.STARTED, Admitted.WAITS
"""Python 3.11 takes 0.2 us to find a member in its Enum."""


class Turn(Protocol):
    """What is called for a delivery that was admitted: exactly one of the two, exactly once."""

    def start(self) -> None:
        """Make the attempt, in the next turn of the event loop at the latest, and report its end to
        `Admission.finished` or `released`."""

    def park(self, parked: Parked) -> None:
        """It waited, and shall not wait longer: the circuit opened, or the lane was emptied."""


class Admission(Protocol):
    """Decides when each delivery is attempted: the lanes, circuit breakers and rates of all endpoints."""

    def admit(self, delivery: Delivery, turn: Turn) -> Admitted | Parked:
        """Parked: not admitted, and `turn` is never called."""

    def finished(self, delivery: Delivery, result: Result, seconds: float) -> Parked | None:
        """An attempt that was started has ended after `seconds`.

        Parked when no receiver can be reached: the fault is the worker's own, and the attempt is not charged.
        """

    def released(self, delivery: Delivery) -> None:
        """A started attempt was given up without a result: its place is free, nothing is learned."""

    def drain(self) -> None:
        """Park every delivery that waits for its turn, and each that is offered from now on."""


class Sender(Protocol):
    async def send(self, request: Request, timeout: float) -> Result:
        """One POST within `timeout` seconds, answer drained within bounds. Never raises but CancelledError."""


class PostEnd(Protocol):
    """Hears how a POST goes on that was begun without a task: exactly one of the two, exactly once, never at once."""

    def answered(self, result: Result) -> None:
        """A 2xx came, whole and plain."""

    def goes_on(self, rest: Coroutine[Any, Any, Result]) -> None:
        """It takes a task: `rest` is to be awaited in one, and ends like `Sender.send`."""


class Post(Protocol):
    """A POST that was begun without a task."""

    def go_on(self) -> None:
        """In a task from now on (`PostEnd.goes_on`), so that it can be waited for and cancelled."""


class Posts(Protocol):
    """POSTs that need no task as long as everything is as nearly always: a kept connection, a plain 2xx."""

    def begin(self, request: Request, timeout: float, end: PostEnd) -> Post | None:
        """`write_begun` writes it. None: nothing was begun, and `Sender.send` is the way. Never raises."""

    def write_begun(self) -> None:
        """Writes what was begun and is not written yet. Never raises. To be called before the event loop has its turn:
        what came on such a connection before its request was written would count as the answer."""


class Recorder(Protocol):
    """Counts and logs what happens to events and deliveries. Never raises."""

    def received(self, kind: str) -> None:
        """An event of this canonical name was consumed."""

    def started(self) -> None:
        """An event was fanned out into one more delivery, or ends without any."""

    def attempted(self, result: Result, seconds: float) -> None:
        """One attempt ended."""

    def publish_failed(self) -> None:
        """A publish of a retry, a parked delivery or a dead letter was not confirmed; it may be tried again."""

    def delivered(self, instance: str, seconds: float) -> bool:
        """A delivery left this process, done, `seconds` after its event was first taken.

        False: nothing was counted, and `settled` is to be called, as somebody wants its whole record.
        """

    def settled(self, record: Record) -> None:
        """A delivery left this process."""


class History(Protocol):
    """Keeps what happened to each delivery, for people to look up. `failures_only`: neither Delivered nor Skipped."""

    failures_only: bool

    def add(self, row: Row) -> None:
        """Never blocks, never raises; what cannot be kept is lost."""


class Pulses(Protocol):
    """Signs of life of instances: which gets messages, which other events."""

    def heard(self, event: Event, at: float) -> None:
        """Evolution published it; taken at `at`, Unix seconds. Never blocks, never raises."""

    def sign(self, kind: str, instance: str, at: float) -> None:
        """`heard`, of an event that is none of silence.pulse.CONNECTIONS."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside of one pipeline. `history` None: nothing is kept; `pulses` None: nobody asks who is silent.

    `posts` None: every attempt has a task.
    """

    webhooks: Webhooks
    admission: Admission
    sender: Sender
    publisher: Publisher
    recorder: Recorder
    history: History | None = None
    pulses: Pulses | None = None
    posts: Posts | None = None

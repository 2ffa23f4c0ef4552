"""Fakes of delivery's ports: the broker, the store, the network and the clock, all in the test's hand."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.broker.past_headers import Headers, headers_of, past_in, trace_in
from worker.delivery.ports import Admitted, ConfigUnavailable, PostEnd, PublishFailed, TooLarge, Turn
from worker.domain.choosing.subscriptions import Subscriptions, subscriptions
from worker.domain.event import Event
from worker.domain.history import Row
from worker.domain.outcome import Parked
from worker.domain.past import Past
from worker.domain.record import Record
from worker.domain.request.build import Request
from worker.domain.routing import Delivery
from worker.domain.verdict import Answered, Result
from worker.domain.webhook import Webhook


class Clock:
    """Seconds that stand still until the test moves them."""

    def __init__(self, now: float = 1_795_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeMessage:
    """ports.Message. `ends` is what happened to it: "ack" or "hand back", each time."""

    body: bytes
    headers: Mapping[str, object] = field(default_factory=dict)
    message_id: str | None = None
    exchange: str = "evolution_exchange"
    routing_key: str = "messages.upsert"
    queue: str = "webhooks.events"
    lost: bool = False
    redelivered: bool = False
    ends: list[str] = field(default_factory=list)
    dead_letters: bool = True

    @property
    def past(self) -> Past | None:
        return past_in(self.headers)

    @property
    def trace(self) -> Mapping[str, str]:
        return trace_in(self.headers)

    def ack(self) -> None:
        self.ends.append("ack")

    def hand_back(self) -> None:
        self.ends.append("hand back")

    def reject(self) -> None:
        self.ends.append("reject")


@dataclass(frozen=True)
class Published:
    """`queue` is the delay in seconds or "dead"."""

    queue: int | str
    body: bytes
    headers: Headers
    facts: Mapping[str, str] = field(default_factory=dict)


class FakePublisher:
    """ports.Publisher. Fails `failures` times, then confirms; with `held` each publish waits for `release`.

    Bodies above `limit` bytes are never taken.
    """

    def __init__(self) -> None:
        self.published: list[Published] = []
        self.tries = 0
        self.failures = 0
        self.limit = 1_000_000
        self.release = asyncio.Event()
        self.release.set()

    def retry(self, body: bytes, past: Past, delay: int) -> asyncio.Future[object]:
        return asyncio.ensure_future(self._confirm(Published(delay, body, headers_of(past))))

    def dead_letter(self, body: bytes, past: Past, facts: Mapping[str, str]) -> asyncio.Future[object]:
        return asyncio.ensure_future(self._confirm(Published("dead", body, headers_of(past), facts)))

    async def _confirm(self, published: Published) -> object:
        self.tries += 1
        await self.release.wait()
        if len(published.body) > self.limit:
            raise TooLarge("too large")
        if self.failures:
            self.failures -= 1
            raise PublishFailed("no confirm")
        self.published.append(published)
        return None


class FakeWebhooks:
    """ports.Webhooks. What stands in `known` is cached, in `stored` found; `down`: the store does not answer."""

    def __init__(self, *cached: Webhook, global_webhook: Webhook | None = None) -> None:
        self.global_webhook = global_webhook
        self.found = 0
        self.known: dict[str, tuple[Webhook, ...]] = {}
        self.stored: dict[str, tuple[Webhook, ...]] = {}
        self.down = False
        self._served: dict[str, tuple[tuple[Webhook, ...], Subscriptions]] = {}
        for webhook in cached:
            self.known[webhook.instance] = (*self.known.get(webhook.instance, ()), webhook)

    def cached(self, instance: str) -> Subscriptions | None:
        """The same object until `known` has another one, as the cache's."""
        known = self.known.get(instance)
        if known is None:
            return None
        if instance not in self._served or self._served[instance][0] is not known:
            self._served[instance] = known, subscriptions(known)
        return self._served[instance][1]

    async def find(self, instance: str) -> Subscriptions:
        self.found += 1
        if self.down:
            raise ConfigUnavailable("the store is down")
        return subscriptions(self.known.get(instance, self.stored.get(instance, ())))


class FakePulses:
    """ports.Pulses, as a list of kind, instance and time."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, float]] = []

    def heard(self, event: Event, at: float) -> None:
        self.sign(event.kind, event.instance, at)

    def sign(self, kind: str, instance: str, at: float) -> None:
        self.events.append((kind, instance, at))


@dataclass
class FakeReceivers:
    """ports.Receivers: what it was told."""

    told: list[str] = field(default_factory=list)
    disabled: list[tuple[Webhook, str]] = field(default_factory=list)

    async def disable(self, webhook: Webhook, reason: str, *, if_failing: bool) -> None:
        self.told.append(f"disable if it fails: {reason}" if if_failing else f"disable at once: {reason}")
        self.disabled.append((webhook, reason))

    async def failing(self, webhook: Webhook, since: int) -> None:
        self.told.append(f"failing since {since}")

    async def recovered(self, webhook: Webhook) -> None:
        self.told.append("recovered")


class FakeAdmission:
    """ports.Admission. Starts everything at once; with `holding` turns wait; `refusal` parks what is offered."""

    def __init__(self) -> None:
        self.holding = False
        self.refusal: Parked | None = None
        self.not_charged: Parked | None = None
        self.turns: deque[Turn] = deque()
        self.running = 0
        self.drained = False

    def admit(self, delivery: Delivery, turn: Turn) -> Admitted | Parked:
        if self.refusal is not None:
            return self.refusal
        self.turns.append(turn)
        if self.holding:
            return Admitted.WAITS
        self.start_next()
        return Admitted.STARTED

    def start_next(self) -> None:
        self.running += 1
        self.turns.popleft().start()

    def finished(self, delivery: Delivery, result: Result, seconds: float) -> Parked | None:
        self.running -= 1
        return self.not_charged

    def released(self, delivery: Delivery) -> None:
        self.running -= 1

    def drain(self) -> None:
        self.drained = True


class FakeSender:
    """ports.Sender. Answers by URL: 200 unless in `answers` (exceptions are raised), never if in `hanging`.

    While `release` is not set, all wait.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[Request, float]] = []
        self.answers: dict[str, Result | Exception] = {}
        self.hanging: set[str] = set()
        self.release = asyncio.Event()
        self.release.set()

    async def send(self, request: Request, timeout: float) -> Result:
        self.sent.append((request, timeout))
        await (asyncio.Event() if request.url in self.hanging else self.release).wait()
        answer = self.answers.get(request.url, Answered(200))
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakePost:
    """ports.Post: begun, and ended by the test."""

    def __init__(self, sender: FakeSender, request: Request, timeout: float, end: PostEnd) -> None:
        self._sender = sender
        self.request = request
        self.timeout = timeout
        self.end = end
        self.written = False
        self.went_on = False

    def go_on(self) -> None:
        assert self.written
        assert not self.went_on
        self.went_on = True
        self.end.goes_on(self._rest())

    async def _rest(self) -> Result:
        return await self._sender.send(self.request, self.timeout)


class FakePosts:
    """ports.Posts, as long as `begins`."""

    def __init__(self, sender: FakeSender) -> None:
        self._sender = sender
        self.begins = True
        self.begun: list[FakePost] = []

    def begin(self, request: Request, timeout: float, end: PostEnd) -> FakePost | None:
        if not self.begins:
            return None
        self.begun.append(FakePost(self._sender, request, timeout, end))
        return self.begun[-1]

    def write_begun(self) -> None:
        for post in self.begun:
            post.written = True


class FakeHistory:
    """ports.History, as a list."""

    def __init__(self, *, failures_only: bool = False) -> None:
        self.failures_only = failures_only
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        self.rows.append(row)


class FakeRecorder:
    """ports.Recorder, as lists and counts."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.started_count = 0
        self.failed_publishes = 0
        self.results: list[Result] = []
        self.records: list[Record] = []

    def received(self, kind: str) -> None:
        self.kinds.append(kind)

    def started(self) -> None:
        self.started_count += 1

    def attempted(self, result: Result, seconds: float) -> None:
        self.results.append(result)

    def publish_failed(self) -> None:
        self.failed_publishes += 1

    def delivered(self, instance: str, seconds: float) -> bool:
        return False

    def settled(self, record: Record) -> None:
        self.records.append(record)

    @property
    def outcomes(self) -> list[str]:
        """`Delivered ok`, sorted."""
        return sorted(f"{type(record.outcome).__name__} {record.outcome.reason}" for record in self.records)

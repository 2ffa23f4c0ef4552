"""A webhook's `order` is switched in steps: at no moment neither side sends an event, nor is one turned round after.

While its row has `order_next` both sides send. A marker goes through the queue of first attempts, and then through the
ordered one: what stood in front of it, in either, was handled by a replica that knew of the switch, or has ended in
order. Then the row gets its new order. docs/decisions/0031-order.md has why that loses nothing.
"""

import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Protocol

import msgspec
from msgspec.structs import replace

from worker.basics.clock import Clock
from worker.basics.tasks import Tasks
from worker.delivery.ports import Message, PublishFailed
from worker.domain.backoff import Schedule
from worker.domain.webhook import Endpoint, Webhook

log = logging.getLogger(__name__)

SLACK_SECONDS = 30.0
"""Beside the caches' age: what one replica had taken and lost is with another one by then."""

AGAIN_SECONDS = 900.0
"""A marker that has not come back for so long is sent again: two of them do no harm."""

_START = b'{"order_marker":'


class Stage(Enum):
    """Where a marker is."""

    WAITS_FOR_CACHES = "caches"
    IN_EVENTS = "events"
    WAITS_FOR_REDELIVERIES = "redeliveries"
    IN_ORDERED = "ordered"


class Marker(msgspec.Struct, frozen=True):
    """`at`: the webhook's `order_switch_at`. `left`: seconds that it has to wait yet. Without a `webhook_id`: all that
    is in the queue of first attempts came before the ordered queue was bound (see Arrived)."""

    stage: Stage
    instance: str = ""
    webhook_id: str = ""
    at: int = 0
    left: float = 0.0

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.instance, self.webhook_id)


class _Body(msgspec.Struct):
    order_marker: Marker


_decode = msgspec.json.Decoder(_Body).decode


def body_of(marker: Marker) -> bytes:
    return msgspec.json.encode(_Body(marker))


def marker_in(body: bytes) -> Marker | None:
    """None: it is something else, an event perhaps."""
    if not body.startswith(_START):
        return None
    try:
        return _decode(body).order_marker
    except (msgspec.MsgspecError, RecursionError):
        return None


class MarkerPublisher(Protocol):
    """Each returns once RabbitMQ has confirmed it, and raises PublishFailed."""

    async def later(self, body: bytes, delay: int) -> None:
        """To `retries`, after a delay that there is a queue for."""

    async def to_events(self, body: bytes) -> None: ...
    async def to_ordered(self, body: bytes) -> None: ...


Finish = Callable[[Endpoint, int], Awaitable[None]]
"""Gives the webhook its new order, if it is still in that switch. Raises ConfigUnavailable."""

Arrived = Callable[[], Awaitable[None]]
"""Whatever is in the queue of first attempts is in the ordered queue as well, from now on. Raises PublishFailed."""


class Switching:
    """Carries markers on. `cache_ttl` in seconds: so old may be what a replica knows of a webhook."""

    def __init__(
        self,
        publisher: MarkerPublisher,
        finish: Finish,
        arrived: Arrived,
        schedule: Schedule,
        cache_ttl: float,
        monotonic: Clock,
    ) -> None:
        self._publisher = publisher
        self._finish = finish
        self._arrived = arrived
        self._schedule = schedule
        self._cache_ttl = cache_ttl
        self._monotonic = monotonic
        self._begun: dict[tuple[Endpoint, int], float] = {}
        self._tasks = Tasks()

    # The unordered side.

    def passes_on(self, message: Message) -> bool:
        """Takes a message that is no event, if it is a marker. Called by the unordered side."""
        marker = marker_in(message.body)
        if marker is None:
            return False
        self._tasks.start(self._pass_on(message, marker), on_cancelled=message.hand_back)
        return True

    async def _pass_on(self, message: Message, marker: Marker) -> None:
        try:
            await self._next(marker)
        except PublishFailed as error:
            log.info("a marker of ordered delivery goes back: %s", error)
            message.hand_back()
        else:
            message.ack()

    async def _next(self, marker: Marker) -> None:
        """Each step is confirmed before the one before it is acked."""
        if marker.left > 0:
            await self._later(marker)
        elif marker.stage is Stage.WAITS_FOR_CACHES:
            await self._publisher.to_events(body_of(replace(marker, stage=Stage.IN_EVENTS)))
        elif marker.stage is Stage.IN_EVENTS:
            left = self._cache_ttl + SLACK_SECONDS
            await self._later(replace(marker, stage=Stage.WAITS_FOR_REDELIVERIES, left=left))
        elif marker.webhook_id:
            await self._publisher.to_ordered(body_of(replace(marker, stage=Stage.IN_ORDERED)))
        else:
            await self._arrived()

    async def _later(self, marker: Marker) -> None:
        delay = self._schedule.covering(marker.left)
        waiting = replace(marker, left=max(0.0, marker.left - delay))
        await self._publisher.later(body_of(waiting), delay)

    async def send_for_bound(self) -> None:
        """Sends a marker through the queue of first attempts, for `arrived`. Raises PublishFailed."""
        await self._later(Marker(Stage.WAITS_FOR_CACHES, left=SLACK_SECONDS))

    # The ordered side.

    def seen(self, webhook: Webhook) -> None:
        """An event came for this ordered webhook. One that is being switched gets its marker."""
        at = webhook.order_switch_at
        if webhook.order_next is None or at is None:
            return
        now, switch = self._monotonic(), (webhook.endpoint, at)
        if now - self._begun.get(switch, now - AGAIN_SECONDS) >= AGAIN_SECONDS:
            self._begun[switch] = now
            self._tasks.start(self._begin(switch))

    async def _begin(self, switch: tuple[Endpoint, int]) -> None:
        endpoint, at = switch
        left = 2 * self._cache_ttl
        try:
            await self._later(Marker(Stage.WAITS_FOR_CACHES, endpoint.instance, endpoint.webhook_id, at, left))
        except PublishFailed as error:
            log.info("a switch of order is begun later: %s", error)
            self._begun.pop(switch, None)

    async def ended(self, marker: Marker) -> None:
        """Everything in front of the marker has ended, or is in a siding. Raises ConfigUnavailable."""
        await self._finish(marker.endpoint, marker.at)
        self._begun.pop((marker.endpoint, marker.at), None)
        log.info("webhook %r of %r has its new order", marker.webhook_id, marker.instance)

    async def close(self) -> None:
        """Its markers go back to the broker."""
        await self._tasks.end()

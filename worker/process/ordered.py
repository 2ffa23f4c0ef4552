"""The ordered side of a worker (ORDER): its connection, its flow, and what can be measured of it."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aio_pika.abc import AbstractConnection

from worker.broker.connection import BROKER_ERRORS, Supervisor, as_broker_errors, in_words
from worker.broker.declare import note_bound, queue_exists
from worker.broker.ordered.bound import Bound
from worker.broker.ordered.client import OrderedClient, quick
from worker.broker.publishing.publisher import Publisher
from worker.broker.topology import Topology, ordered_queue
from worker.delivery.ports import ConfigUnavailable, PublishFailed
from worker.domain.webhook import Endpoint, Webhook
from worker.ordered.deciding.rules import Rules
from worker.ordered.flow import OrderedFlow
from worker.ordered.switching import Switching
from worker.settings.settings import Settings
from worker.telemetry.metrics import Metrics
from worker.webhooks.changing import change, leave
from worker.webhooks.store import StoreUnavailable, WritableStore

log = logging.getLogger(__name__)

LETTER_SECONDS = 5.0
"""At the end, for the confirms of the last dead letters."""


def rules(settings: Settings) -> Rules:
    """A quarter of WORKER_MAX_BYTES is for the queue, another for the sidings; the unordered side has the half."""
    quarter = settings.worker_max_bytes // 4
    return Rules(most_sidings=settings.order_sidings, most_bytes=quarter, most_siding_bytes=quarter)


class WorkersOrder:
    """`prepare` makes all queues exist; `blocked`: whether RabbitMQ takes no publishes now. `complete` hears whether
    the ordered queue gets all that the other one gets."""

    def __init__(
        self,
        settings: Settings,
        queues: Topology,
        flow: OrderedFlow,
        switching: Switching,
        publisher: Publisher,
        prepare: Callable[[AbstractConnection], Awaitable[None]],
        blocked: Callable[[], bool],
        complete: Callable[[bool], None],
        on_state: Callable[[bool], None] | None,
    ) -> None:
        self._settings = settings
        self._flow = flow
        self._switching = switching
        self._name = ordered_queue(settings.worker_queue_prefix).name
        self._needed = asyncio.Event()
        if settings.order:
            self._needed.set()
        self.client = OrderedClient(
            settings.worker_queue_prefix,
            flow,
            prepare,
            lambda: publisher.connection,
            blocked,
            rules(settings),
            declares=settings.rabbitmq_declare,
            on_state=on_state or (lambda _: None),
        )
        name = "evolution-webhook-worker ordered"
        self._supervisor = Supervisor(quick(settings.rabbitmq_uri), name, self.client, random.uniform, cuts=True)
        self._bound = Bound(queues, lambda: publisher.connection, complete, switching.send_for_bound, time.monotonic)

    async def run(self) -> None:
        """With ORDER=false only if the queue is there: what is in it is still delivered in order, and nothing new."""
        bound = self._bound.watch() if self._settings.order else self._bound.leave(self._name)
        async with asyncio.TaskGroup() as group:
            group.create_task(bound)
            await self._needed.wait()
            await self._supervisor.run()

    async def prepared(self, connection: AbstractConnection) -> None:
        """Before the first event is taken on this connection: whose are those of ordered webhooks?"""
        if self._settings.order:
            await self._bound.look_first(connection)
        elif not self._needed.is_set() and await queue_exists(connection, self._name):
            log.warning("ORDER is false and %s is there: served until it is empty, and unbound", self._name)
            self._needed.set()

    async def drain(self, seconds: float) -> None:
        """Finish what is under way; everything else goes to another replica, in its order."""
        await self.client.drain(seconds)
        await self._switching.close()
        await self._flow.finished(LETTER_SECONDS)

    def measure(self, metrics: Metrics) -> None:
        gauge, client, flow = metrics.gauge, self.client, self._flow
        gauge("ordered_active", "1 while this replica delivers in order.", lambda: client.active)
        gauge("ordered_sidings", "Sidings in use; of the active replica.", lambda: client.sidings)
        waiting = "Ordered deliveries in hand, and events whose webhooks are not known yet; of the active replica."
        gauge("ordered_waiting", waiting, lambda: client.waiting + flow.unknown)
        gauge("ordered_bytes", "Bytes of those.", lambda: client.held_bytes)
        oldest = "Age of the oldest event at the head of a siding."
        gauge("ordered_siding_oldest_seconds", oldest, lambda: client.oldest_sided(time.time()))
        gauge("order_wait_seconds", "Wait of the oldest one that is in no siding.", lambda: client.oldest_wait)


class Markers:
    """Carries the markers of a switch through RabbitMQ (switching.MarkerPublisher)."""

    def __init__(self, publisher: Publisher, queues: Topology, prefix: str) -> None:
        self._publisher = publisher
        self._queues = queues
        self._ordered = ordered_queue(prefix).name

    async def later(self, body: bytes, delay: int) -> None:
        await self._publisher.publish(self._queues.retry_queue(delay), body, {})

    async def to_events(self, body: bytes) -> None:
        await self._publisher.publish(self._queues.events, body, {})

    async def to_ordered(self, body: bytes) -> None:
        await self._publisher.publish(self._ordered, body, {})

    async def arrived(self) -> None:
        """Notes that the ordered queue is complete."""
        connection = self._publisher.connection
        try:
            with as_broker_errors():
                if connection is None:
                    raise ConnectionError("no connection to publish on")
                await note_bound(connection, self._queues)
        except BROKER_ERRORS as error:
            raise PublishFailed(in_words(error)) from None


class Finisher:
    """Writes a webhook's new order. `store` None: webhooks are kept elsewhere, so that none can be switched."""

    def __init__(self, store: WritableStore | None, changed: Callable[[str, int], Awaitable[None]]) -> None:
        self._store = store
        self._changed = changed

    async def finish(self, endpoint: Endpoint, at: int) -> None:
        """If it is in the switch that began then. Raises ConfigUnavailable."""

        async def made(existing: Webhook | None) -> Webhook | None:
            if existing is None or existing.order_next is None or existing.order_switch_at != at:
                return None
            return replace(existing, order=existing.order_next, order_next=None, order_switch_at=None)

        if self._store is None:
            return
        try:
            changed = await change(self._store, endpoint, made, leave)
        except StoreUnavailable as error:
            raise ConfigUnavailable(str(error)) from None
        if changed is not None:
            await self._changed(endpoint.instance, changed.written.revision)

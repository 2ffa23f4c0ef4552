"""The ordered side of a worker (ORDER): its connection, its flow, and what can be measured of it."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from aio_pika.abc import AbstractConnection

from worker.broker.connection import Supervisor
from worker.broker.declare import unbind_ordered
from worker.broker.ordered.client import OrderedClient, quick
from worker.broker.publishing.publisher import Publisher
from worker.broker.topology import Topology, ordered_queue
from worker.ordered.flow import OrderedFlow
from worker.ordered.rules import Rules
from worker.settings.settings import Settings
from worker.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

LETTER_SECONDS = 5.0
"""At the end, for the confirms of the last dead letters."""


class WorkersOrder:
    """`prepare` makes all queues exist; `blocked`: whether RabbitMQ takes no publishes now."""

    def __init__(
        self,
        settings: Settings,
        flow: OrderedFlow,
        publisher: Publisher,
        prepare: Callable[[AbstractConnection], Awaitable[None]],
        blocked: Callable[[], bool],
        on_state: Callable[[bool], None] | None,
    ) -> None:
        self._settings = settings
        self._flow = flow
        self._needed = asyncio.Event()
        if settings.order:
            self._needed.set()
        self.client = OrderedClient(
            settings.worker_queue_prefix,
            flow,
            prepare,
            lambda: publisher.connection,
            blocked,
            Rules(most_sidings=settings.order_sidings, most_bytes=settings.worker_max_bytes),
            declares=settings.rabbitmq_declare,
            on_state=on_state or (lambda _: None),
        )
        name = "evolution-webhook-worker ordered"
        self._supervisor = Supervisor(quick(settings.rabbitmq_uri), name, self.client, random.uniform)

    async def run(self) -> None:
        await self._needed.wait()
        await self._supervisor.run()

    async def look_for_leftovers(self, connection: AbstractConnection, queues: Topology) -> None:
        """With ORDER=false again what is in the queue is still delivered in order; it gets nothing new."""
        settings = self._settings
        if settings.order or self._needed.is_set():
            return
        name = ordered_queue(settings.worker_queue_prefix).name
        if await unbind_ordered(connection, queues, name):
            log.warning("ORDER is false and %s is there: unbound, and served until it is empty", name)
            self._needed.set()

    async def drain(self, seconds: float) -> None:
        """Finish what is under way; everything else goes to another replica, in its order."""
        await self.client.drain(seconds)
        await self._flow.finished(LETTER_SECONDS)

    def measure(self, metrics: Metrics) -> None:
        gauge, client = metrics.gauge, self.client
        gauge("ordered_active", "1 while this replica delivers in order.", lambda: client.active)
        gauge("ordered_sidings", "Sidings in use; of the active replica.", lambda: client.sidings)
        gauge("ordered_waiting", "Ordered deliveries in hand; of the active replica.", lambda: client.waiting)
        gauge("order_wait_seconds", "Wait of the oldest one that is in no siding.", lambda: client.oldest_wait)

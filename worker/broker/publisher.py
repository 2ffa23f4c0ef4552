"""Confirmed and routed publishes to our own queues (ports.Publisher)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import count

from aio_pika.abc import AbstractConnection
from aiormq.channel import Channel
from aiormq.exceptions import PublishError
from pamqp.commands import Basic
from pamqp.common import FieldTable

from worker.broker.connection import as_broker_errors, said
from worker.broker.declare import open_channel
from worker.broker.topology import Topology
from worker.delivery.ports import PublishFailed
from worker.domain.history import PREFIX, Headers, History

PERSISTENT = 2


class Publisher:
    """One channel with confirms on a connection of its own: a publisher that is blocked must not stop acks.

    Each call waits for its own confirm, so callers pipeline by being many. A confirm has no deadline: behind a
    memory alarm it comes late but comes, and publishing again meanwhile would repeat the delivery.
    """

    def __init__(
        self,
        topology: Topology,
        prepare: Callable[[AbstractConnection], Awaitable[None]],
        on_state: Callable[[bool], None],
    ) -> None:
        self._topology = topology
        self._prepare = prepare
        self._on_state = on_state
        self._channel: Channel | None = None
        self._numbers = count(1)
        self._unfit = asyncio.Event()

    # What the supervisor calls.

    async def opened(self, connection: AbstractConnection) -> None:
        await self._prepare(connection)
        self._unfit.clear()
        self._channel = await open_channel(connection, confirms=True)

    async def broken(self) -> None:
        assert self._channel is not None
        closing = asyncio.ensure_future(self._channel.closing)
        unfit = asyncio.ensure_future(self._unfit.wait())
        await asyncio.wait({closing, unfit}, return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()
        unfit.cancel()

    def state(self, connected: bool) -> None:
        if not connected:
            self._channel = None
        self._on_state(connected)

    # What the delivery calls.

    async def retry(self, body: bytes, history: History, delay: int) -> None:
        await self.publish(self._topology.retry_queue(delay), body, history.headers())

    async def dead_letter(self, body: bytes, history: History, facts: Mapping[str, str]) -> None:
        headers = history.headers() | {PREFIX + name: value for name, value in facts.items()}
        await self.publish(self._topology.dead, body, headers)

    async def publish(self, queue: str, body: bytes, headers: Headers) -> None:
        """Persistent, confirmed, routed. Raises PublishFailed, also when the queue is full or missing."""
        channel = self._channel
        if channel is None:
            raise PublishFailed("no connection to RabbitMQ")
        properties = Basic.Properties(
            content_type="application/json",
            delivery_mode=PERSISTENT,
            headers=_table(headers),
            # aiormq finds the publish that the broker returned by its message id.
            message_id=str(next(self._numbers)),
        )
        try:
            with as_broker_errors():
                await channel.basic_publish(body, routing_key=queue, properties=properties, mandatory=True, wait=False)
        except PublishError as error:
            self._unfit.set()  # somebody deleted the queue: a new connection declares it again
            raise PublishFailed(f"the queue {queue} does not exist") from error
        except Exception as error:
            raise PublishFailed(f"publishing to {queue}: {said(error)}") from error


def _table(headers: Headers) -> FieldTable:
    return {name: list(value) if isinstance(value, list) else value for name, value in headers.items()}

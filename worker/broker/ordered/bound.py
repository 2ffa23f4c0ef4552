"""Since when the ordered queue gets all that the queue of first attempts gets: until then both sides send.

ORDER=true on a broker with a backlog: those events are in the queue of first attempts alone. So a marker goes through
it, and whoever takes it on the other side declares an exchange that says so. ORDER=false deletes that first, and
unbinds the ordered queue when every replica has seen it gone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aio_pika.abc import AbstractConnection

from worker.basics.clock import Clock
from worker.broker.connection import BROKER_ERRORS, as_broker_errors, in_words
from worker.broker.declare import forget_bound, is_bound, queue_exists, unbind_ordered
from worker.broker.topology import Topology
from worker.delivery.ports import PublishFailed

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Between two looks at whether it is there still."""

FIRST_LOOK_SECONDS = 0.25
"""While it is not: a fresh installation has it at once."""

MARKER_SECONDS = 600.0
"""Between two markers: one that met an older worker became a dead letter."""

UNBIND_SECONDS = 60.0
"""After it was deleted: by then every replica has looked."""


class Bound:
    """`told` hears whether it is there, at each look. `send` sends a marker; it raises PublishFailed."""

    def __init__(
        self,
        topology: Topology,
        connection: Callable[[], AbstractConnection | None],
        told: Callable[[bool], None],
        send: Callable[[], Awaitable[None]],
        monotonic: Clock,
    ) -> None:
        self._topology = topology
        self._connection = connection
        self._told = told
        self._send = send
        self._monotonic = monotonic
        self._sent_at: float | None = None

    async def look_first(self, connection: AbstractConnection) -> None:
        """Before the first event is taken on this connection. Raises what a broken connection raises."""
        self._told(await is_bound(connection, self._topology))

    async def watch(self) -> None:
        """With ORDER=true. Until cancelled."""
        while True:
            there = await self._look()
            await asyncio.sleep(LOOK_SECONDS if there else FIRST_LOOK_SECONDS)

    async def _look(self) -> bool:
        connection = self._connection()
        if connection is None:
            return False
        try:
            with as_broker_errors():
                there = await is_bound(connection, self._topology)
            self._told(there)
            if not there:
                await self._send_due()
        except (*BROKER_ERRORS, PublishFailed) as error:
            log.debug("cannot see whether the ordered queue is complete: %s", in_words(error))
            return False
        return there

    async def _send_due(self) -> None:
        now = self._monotonic()
        if self._sent_at is None or now - self._sent_at >= MARKER_SECONDS:
            await self._send()
            self._sent_at = now

    async def leave(self, queue: str) -> None:
        """With ORDER=false: what is in the queue is still served, and it gets nothing new."""
        while True:
            connection = self._connection()
            if connection is not None:
                try:
                    with as_broker_errors():
                        if not await queue_exists(connection, queue):
                            return
                        await forget_bound(connection, self._topology)
                        await asyncio.sleep(UNBIND_SECONDS)
                        await unbind_ordered(connection, self._topology, queue)
                        return
                except BROKER_ERRORS as error:
                    log.info("%s is not unbound yet: %s", queue, in_words(error))
            await asyncio.sleep(LOOK_SECONDS)

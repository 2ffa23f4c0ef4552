"""The connection of ordered delivery, kept by a supervisor: each new one begins as a standby."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aio_pika.abc import AbstractConnection

from worker.basics.address import Address
from worker.broker.address import broker_address
from worker.broker.aiormq_internals import closing_of, connection_beneath
from worker.broker.ordered.session import Deliveries, OrderedSession
from worker.ordered.deciding.recent import Recent
from worker.ordered.deciding.role import State
from worker.ordered.deciding.rules import Rules

HEARTBEAT_SECONDS = 2
"""RabbitMQ gives the queue to another replica 5.6 s after this one has fallen silent (measured), instead of minutes."""


def quick(uri: str | Address) -> Address:
    """The broker's address with that heartbeat, unless the URI sets one."""
    address = broker_address(uri)
    return replace(address, options={"heartbeat": str(HEARTBEAT_SECONDS), **address.options})


class OrderedClient:
    """A supervisor's client. `prepare` makes the queue exist."""

    def __init__(
        self,
        prefix: str,
        deliveries: Deliveries,
        prepare: Callable[[AbstractConnection], Any],
        publishing: Callable[[], AbstractConnection | None],
        blocked: Callable[[], bool],
        rules: Rules,
        *,
        declares: bool,
        on_state: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._prefix = prefix
        self._deliveries = deliveries
        self._prepare = prepare
        self._publishing = publishing
        self._blocked = blocked
        self._rules = rules
        self._declares = declares
        self._on_state = on_state
        self._recent = Recent()
        self._highest = 0
        self._session: OrderedSession | None = None
        self._closing: asyncio.Future[Any] | None = None
        self._draining = False

    # What the supervisor calls.

    async def opened(self, connection: AbstractConnection) -> None:
        await self._prepare(connection)
        beneath = connection_beneath(connection)
        assert beneath is not None
        self._closing = closing_of(beneath)
        session = OrderedSession(
            connection,
            self._prefix,
            self._deliveries,
            self._publishing,
            self._blocked,
            self._rules,
            self._new_epoch,
            self._recent,
            declares=self._declares,
        )
        await session.open()
        self._session = session

    async def broken(self) -> None:
        assert self._session is not None
        assert self._closing is not None
        running = asyncio.ensure_future(self._session.run())
        try:
            await asyncio.wait({running, self._closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            running.cancel()
            await self._session.end()
        if self._draining:
            await asyncio.Event().wait()  # the supervisor must not connect anew

    def state(self, connected: bool) -> None:
        if not connected:
            self._session = self._closing = None
        self._on_state(connected)

    # What the application calls.

    async def drain(self, seconds: float) -> None:
        self._draining = True
        if self._session is not None:
            await self._session.drain(seconds)

    @property
    def active(self) -> bool:
        session = self._session
        return session is not None and session.core.role.state is State.ACTIVE

    @property
    def sidings(self) -> int:
        """Sidings in use, as far as this replica knows."""
        return 0 if self._session is None else len(self._session.core.sidings.used())

    @property
    def waiting(self) -> int:
        return 0 if self._session is None else self._session.core.waiting

    @property
    def held_bytes(self) -> int:
        """Of the bodies of those."""
        return 0 if self._session is None else self._session.core.bytes

    @property
    def oldest_wait(self) -> float:
        """Seconds, of what is in no siding."""
        return 0.0 if self._session is None else self._session.core.oldest_wait

    def oldest_sided(self, now: float) -> float:
        """Seconds since the oldest event at the head of a siding was first taken; 0 without any. `now`: Unix time."""
        since, number = (0.0, 0) if self._session is None else self._session.oldest_sided()
        return now - since if number else 0.0

    def _new_epoch(self, highest: int) -> int:
        """From the clock and what was heard; the last digits are chance, so that no two replicas have the same."""
        self._highest = max(self._highest, highest, int(time.time() * 1000) * 1000)
        self._highest = (self._highest // 1000 + 1) * 1000
        return self._highest + random.randrange(1000)  # noqa: S311 - no secret

"""Goes on on another channel when receivers that hang make every ack dear."""

import asyncio
import logging
from collections.abc import Sequence
from math import inf

from worker.basics.clock import Clock
from worker.broker.consuming.consumption import Consumer, Consumption

log = logging.getLogger(__name__)

MOST_LEFT = 8
"""Channels of a group that are left and still hold messages; each is a process of RabbitMQ's."""

WORTH_IT = 16
"""Messages that hang; RabbitMQ passes fewer in a microsecond, as often as it must."""

STORED_SECONDS = 10.0
"""A channel that was left is closed so long after its last ack: closing it sooner, RabbitMQ forgets acks that it has
received and not stored (966 of 1,000 that went one by one), and delivers again what they were for."""

REST_SECONDS = 2.0
"""At least, between two moves: the channel that was left at first has often got rid of what hung by then."""


class Relay:
    """The channel that a group of queues is consumed on, and those before it that still hold what takes long.

    RabbitMQ looks for an acked tag among all that is un-acked on its channel, the oldest first (3.10.8: 0.08 us each),
    and while the oldest is open, `multiple` acks nothing. Behind 200 attempts that hang, an ack takes it 17 us instead
    of 1, and all deliveries on that core wait for it. So consuming moves to a fresh channel, and what hangs stays
    behind until it is settled. Trade-off: what hangs comes on top of the prefetch, as much as admission lets start and
    wait, and what is under way otherwise for a moment; WORKER_MAX_BYTES bounds both. A channel all of whose prefetch
    hangs acks nothing, and stays.
    """

    def __init__(self, first: Consumption, monotonic: Clock) -> None:
        self._current = first
        self._monotonic = monotonic
        self._left: dict[Consumption, float] = {}  # when it was last seen with something open
        self._group: Sequence[Consumer] = ()
        self._share = 0.0
        self._moved = -inf
        self._taken_before = 0

    async def consume(self, group: Sequence[Consumer], share: float) -> None:
        """As Consumption.consume."""
        self._group, self._share = group, share
        await self._current.consume(group, share)

    async def cancel(self) -> None:
        self._share = 0.0
        await self._current.cancel()

    @property
    def due(self) -> bool:
        """Whether it should move: acks are dear, because of what hangs."""
        if self._share == 0 or len(self._left) >= MOST_LEFT or self._monotonic() < self._moved + REST_SECONDS:
            return False
        return self._current.dear and self._current.hanging >= WORTH_IT

    async def move(self, fresh: Consumption) -> None:
        """One queue after the other, each in order: the fresh channel gets nothing of it before all has come that the
        channel before was given."""
        before, self._current, self._moved = self._current, fresh, self._monotonic()
        self._left[before] = self._moved
        for consumer in self._group:
            await before.cancel_one(consumer.queue)
            await fresh.consume([consumer], self._share)
        log.debug(
            "consuming goes on on another channel, %d messages stay behind", sum(left.open for left in self._left)
        )

    async def sweep(self) -> None:
        """Closes the channels that were left and have held nothing for STORED_SECONDS."""
        now = self._monotonic()
        for left, open_at in tuple(self._left.items()):
            if not left.done:
                self._left[left] = now
            elif now >= open_at + STORED_SECONDS:
                del self._left[left]
                self._taken_before += left.taken
                await left.end()

    @property
    def healthy(self) -> bool:
        return all(consumption.healthy for consumption in self._all)

    @property
    def taken(self) -> int:
        """As Consumption.taken, of all its channels."""
        return self._taken_before + sum(consumption.taken for consumption in self._all)

    async def flushed(self) -> None:
        """As Consumption.flushed, of all its channels at once."""
        await asyncio.gather(*(consumption.flushed() for consumption in self._all))

    def close(self) -> None:
        for consumption in self._all:
            consumption.close()

    @property
    def _all(self) -> tuple[Consumption, ...]:
        return (self._current, *self._left)

"""Goes on on another channel when receivers that hang make every ack dear."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from math import inf

from worker.basics.clock import Clock
from worker.broker.consuming.consumption import Consumer, Consumption

log = logging.getLogger(__name__)

MOST_LEFT = 8
"""Channels beside the one that a group is consumed on; each is a process of RabbitMQ's."""

WORTH_IT = 16
"""Messages that hang; RabbitMQ passes fewer in a microsecond, as often as it must."""

LOOKS, LOOK_SECONDS = 50, 0.001
"""For a moment in which the prefetch is full: between two writes of acks, every 5 ms while the queue has more."""

REST_SECONDS = 2.0
"""At least, between two moves: the channel that was left at first has often got rid of what hung by then."""


class Relay:
    """The channel that a group of queues is consumed on, and those before it that still hold what takes long.

    RabbitMQ looks for an acked tag among all that is un-acked on its channel, the oldest first (3.10.8: 0.08 us each),
    and while the oldest is open, `multiple` acks nothing. Behind 200 attempts that hang, an ack takes it 17 us instead
    of 1, and all deliveries on that core wait for it. So consuming moves to another channel, and what hangs stays
    behind until it is settled. Then that channel is as good as new, and the next to move to. None is closed: RabbitMQ
    forgets acks that it has received and not stored (966 of 1,000 that went one by one). Trade-off: what hangs comes on
    top of the prefetch, as much as admission lets start and wait, and what is under way otherwise for a moment. A
    channel all of whose prefetch hangs acks nothing, and stays.
    """

    def __init__(self, first: Consumption, monotonic: Clock) -> None:
        self._current = first
        self._monotonic = monotonic
        self._left: list[Consumption] = []
        self._group: Sequence[Consumer] = ()
        self._share = 0.0
        self._moved = -inf

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
        if self._share == 0 or self._monotonic() < self._moved + REST_SECONDS:
            return False
        if self._empty is None and len(self._left) >= MOST_LEFT:
            return False
        return self._current.dear and self._current.hanging >= WORTH_IT

    async def move(self, opened: Callable[[], Awaitable[Consumption]]) -> None:
        """To a channel that was left and holds nothing, or to one more.

        One queue after the other. What is on its way as a quorum queue's consumer is cancelled goes back to the queue
        (RabbitMQ 3.10.8) and comes behind some that are newer, so this is done when nothing is, if such a moment comes.
        """
        other = self._empty or await opened()
        await self._nothing_on_its_way()
        before, self._current, self._moved = self._current, other, self._monotonic()
        self._left = [left for left in (*self._left, before) if left is not other]
        for consumer in self._group:
            await before.cancel_one(consumer.queue)
            await other.consume([consumer], self._share)
        log.debug(
            "consuming goes on on another channel, %d messages stay behind", sum(left.open for left in self._left)
        )

    async def _nothing_on_its_way(self) -> None:
        for _ in range(LOOKS):
            if self._current.full:
                break
            await asyncio.sleep(LOOK_SECONDS)

    @property
    def healthy(self) -> bool:
        return all(consumption.healthy for consumption in self._all)

    @property
    def taken(self) -> int:
        """As Consumption.taken, of all its channels."""
        return sum(consumption.taken for consumption in self._all)

    async def flushed(self) -> None:
        """As Consumption.flushed, of all its channels at once."""
        await asyncio.gather(*(consumption.flushed() for consumption in self._all))

    def close(self) -> None:
        for consumption in self._all:
            consumption.close()

    @property
    def _empty(self) -> Consumption | None:
        return next((left for left in self._left if left.open == 0), None)

    @property
    def _all(self) -> tuple[Consumption, ...]:
        return (self._current, *self._left)

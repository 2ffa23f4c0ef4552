"""Publishes to the sidings: in order to each, and through one channel, so that what goes out together is one write.

A channel for each took 60 us of CPU more for an event: a task, a timer, a write and a confirm's frame of its own.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count

from aio_pika.abc import AbstractConnection
from aiormq.channel import Channel

from worker.basics.tasks import Tasks
from worker.broker.connection import BROKER_ERRORS, as_broker_errors
from worker.broker.declare import open_channel
from worker.broker.past_headers import Headers
from worker.broker.publishing.outbox import Outbox, Publish
from worker.broker.publishing.sizes import MessageSizes

AGAIN_SECONDS = 0.5
"""Before it is tried again: RabbitMQ may be restarting."""

_numbers = count(1)


class SidingsChannel:
    """The channel with confirms of all sidings, opened anew when it was closed. `connection`: the one for publishes, if
    there is one now.

    A message that is too large for RabbitMQ closes it once; larger ones than that limit are not sent any more.
    """

    def __init__(self, connection: Callable[[], AbstractConnection | None]) -> None:
        self._connection = connection
        self._channel: Channel | None = None
        self._outbox: Outbox | None = None
        self._sizes = MessageSizes()
        self._opening = asyncio.Lock()

    async def opened(self) -> Outbox:
        """Raises what a broken connection raises."""
        async with self._opening:
            if self._outbox is not None and self._channel is not None and not self._channel.is_closed:
                return self._outbox
            connection = self._connection()
            if connection is None:
                raise ConnectionError("no connection to publish on")
            self._channel = await open_channel(connection, confirms=True)
            self._outbox = Outbox(self._channel, self._sizes.learn)
            return self._outbox

    def is_too_large(self, body: bytes) -> bool:
        return self._sizes.excess(len(body)) is not None

    async def close(self) -> None:
        """What was not sent is not."""
        if self._channel is not None and self._outbox is not None:
            self._outbox.close()
            with as_broker_errors():
                await self._channel.close()


class SidingOutbox:
    """What is published to one siding. `opened` waits until it can be, or raises what a broken connection raises.

    `confirmed(serial)` is called for each publish in its order, `failed()` once for all that are not: after a failure
    nothing more goes out before the core has heard of it. All between two failures goes through the same channel, and
    the first of it alone: at that RabbitMQ makes the queue known to the channel, and may refuse it and take the next.
    """

    def __init__(
        self,
        queue: str,
        channel: SidingsChannel,
        opened: Callable[[], Awaitable[Outbox]],
        confirmed: Callable[[int], None],
        failed: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._channel = channel
        self._opened = opened
        self._confirmed = confirmed
        self._failed = failed
        self._waiting: deque[tuple[int, bytes, Headers]] = deque()
        self._under_way: dict[int, Publish] = {}
        self._outbox: Outbox | None = None
        self._beginning = self._broken = False
        self._tasks = Tasks()

    def publish(self, serial: int, body: bytes, headers: Headers) -> None:
        if self._broken:
            return
        if self._outbox is not None:
            self._send(self._outbox, serial, body, headers)
            return
        self._waiting.append((serial, body, headers))
        if not self._beginning:
            self._beginning = True
            self._tasks.start(self._begin())

    async def close(self) -> None:
        """Without a word to the core."""
        self._broken = True
        await self._tasks.end()

    async def _begin(self) -> None:
        try:
            with as_broker_errors():
                outbox = await self._opened()
        except BROKER_ERRORS:
            self._broken = True
            await asyncio.sleep(AGAIN_SECONDS)
            self._give_up()
            return
        self._send(outbox, *self._waiting.popleft())
        if self._under_way:
            await asyncio.wait(self._under_way.values())
        if self._broken:
            return  # it was refused
        self._outbox, self._beginning = outbox, False
        while self._waiting and not self._broken:
            self._send(outbox, *self._waiting.popleft())

    def _send(self, outbox: Outbox, serial: int, body: bytes, headers: Headers) -> None:
        if self._channel.is_too_large(body):
            self._break()
            return
        publish = outbox.publish(self._queue, body, headers, f"siding.{next(_numbers)}")
        self._under_way[serial] = publish
        publish.add_done_callback(lambda done: self._ended(serial, done))

    def _ended(self, serial: int, publish: asyncio.Future[object]) -> None:
        failed = _failed(publish)
        if self._broken:
            return
        if failed:
            self._break()
            return
        del self._under_way[serial]
        self._confirmed(serial)

    def _break(self) -> None:
        self._broken = True
        self._tasks.start(self._repeat())

    async def _repeat(self) -> None:
        """Waits until all that is under way has ended, so that each one's fate is known; then the core repeats the
        rest."""
        if self._under_way:
            await asyncio.wait(self._under_way.values())
        for serial, publish in self._under_way.items():
            if not _failed(publish):
                self._confirmed(serial)
        await asyncio.sleep(AGAIN_SECONDS)
        self._give_up()

    def _give_up(self) -> None:
        self._under_way.clear()
        self._waiting.clear()
        self._outbox = None
        self._beginning = self._broken = False
        self._failed()


def _failed(publish: asyncio.Future[object]) -> bool:
    return publish.cancelled() or publish.exception() is not None

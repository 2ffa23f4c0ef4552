"""Publishes to one siding, in order: after a failure nothing more goes out before the core has heard of it."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

from aiormq.channel import Channel

from worker.basics.tasks import Tasks
from worker.broker.connection import BROKER_ERRORS, as_broker_errors
from worker.broker.past_headers import Headers
from worker.broker.publishing.outbox import Outbox

AGAIN_SECONDS = 0.5
"""Before another channel is tried: RabbitMQ may be restarting."""

_numbers = count(1)


class SidingOutbox:
    """`open_channel` gives a channel with confirms, or raises what a broken connection raises.

    `confirmed(serial)` is called for each publish in its order, `failed()` once for all that are not.
    """

    def __init__(
        self,
        queue: str,
        open_channel: Callable[[], Awaitable[Channel]],
        confirmed: Callable[[int], None],
        failed: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._open_channel = open_channel
        self._confirmed = confirmed
        self._failed = failed
        self._waiting: list[tuple[int, bytes, Headers]] = []
        self._under_way: dict[int, asyncio.Future[object]] = {}
        self._channel: Channel | None = None
        self._outbox: Outbox | None = None
        self._broken = False
        self._tasks = Tasks()

    def publish(self, serial: int, body: bytes, headers: Headers) -> None:
        if self._broken:
            return
        if self._outbox is not None:
            self._send(serial, body, headers)
            return
        self._waiting.append((serial, body, headers))
        if len(self._waiting) == 1:
            self._tasks.start(self._open())

    async def close(self) -> None:
        """Without a word to the core."""
        self._broken = True
        await self._tasks.end()
        if self._channel is not None:
            with as_broker_errors():
                await self._channel.close()

    async def _open(self) -> None:
        try:
            with as_broker_errors():
                self._channel = await self._open_channel()
        except BROKER_ERRORS:
            self._broken = True
            await asyncio.sleep(AGAIN_SECONDS)
            self._give_up()
            return
        self._outbox = Outbox(self._channel)
        waiting, self._waiting = self._waiting, []
        for serial, body, headers in waiting:
            self._send(serial, body, headers)

    def _send(self, serial: int, body: bytes, headers: Headers) -> None:
        assert self._outbox is not None
        publish = self._outbox.publish(self._queue, body, headers, f"siding.{next(_numbers)}")
        self._under_way[serial] = publish
        publish.add_done_callback(lambda done: self._ended(serial, done))

    def _ended(self, serial: int, publish: asyncio.Future[object]) -> None:
        failed = publish.cancelled() or publish.exception() is not None
        if self._broken:
            return
        if failed:
            self._broken = True
            self._tasks.start(self._break())
            return
        del self._under_way[serial]
        self._confirmed(serial)

    async def _break(self) -> None:
        """Closes the channel, so that all that is under way there ends; then the core repeats it."""
        channel, self._channel, self._outbox = self._channel, None, None
        try:
            if channel is not None:
                with as_broker_errors():
                    await channel.close()
        except BROKER_ERRORS:
            pass  # it is closed already
        if self._under_way:
            await asyncio.wait(self._under_way.values())
        for serial, publish in self._under_way.items():
            if not publish.cancelled() and publish.exception() is None:
                self._confirmed(serial)
        await asyncio.sleep(AGAIN_SECONDS)
        self._give_up()

    def _give_up(self) -> None:
        self._under_way.clear()
        self._waiting.clear()
        self._broken = False
        self._failed()

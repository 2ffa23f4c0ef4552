"""Rows on their way to the history's queue: gathered, numbered, sent as batches."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from worker.delivery.ports import PublishFailed, TooLarge
from worker.domain.history import Batch, Row
from worker.history.batches import encode

log = logging.getLogger(__name__)

PERIOD_SECONDS = 0.25
MOST_ROWS = 500
"""Of a batch. One is sent when it has so many, or a period after the one before."""

MOST_BYTES = 1024 * 1024
"""Of a batch, encoded: so that a writer's prefetch, which counts messages, is bounded in bytes too. One row alone may
have more."""

MOST_WAITING = 10_000
"""Rows that wait while RabbitMQ takes none, about 5 MB. Then the oldest go: deliveries go on without their history."""

AGAIN_SECONDS = 1.0
"""After a publish that failed. The connection comes back by its supervisor."""

Send = Callable[[bytes], asyncio.Future[object]]
"""Publishes one batch; the future ends at the confirm, or raises PublishFailed."""


class Recording:
    """History of one run of one replica (ports.History): `producer` names the run, and no other one ever.

    Each row has a number, and a batch that of its first one: what is lost here, or in the queue, is a hole between two
    batches, which whoever tidies the database counts. `on_rows` hears how many rows were recorded.
    """

    def __init__(
        self, producer: str, replica: str, send: Send, on_rows: Callable[[int], None], *, failures_only: bool
    ) -> None:
        self.failures_only = failures_only
        self._producer = producer
        self._replica = replica
        self._send = send
        self._on_rows = on_rows
        self._rows: list[Row] = []
        self._number = 0
        self._batches: deque[Batch] = deque()
        self._in_batches = 0
        self._full, self._empty = asyncio.Event(), asyncio.Event()
        self._empty.set()

    @property
    def waiting(self) -> int:
        """Rows that RabbitMQ has not confirmed."""
        return len(self._rows) + self._in_batches

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) >= MOST_ROWS:
            self._close_batch()
            self._full.set()

    async def run(self) -> None:
        """Sends what is recorded, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PERIOD_SECONDS):
                    await self._full.wait()
            self._full.clear()
            self._close_batch()
            await self._send_all()

    async def finish(self, seconds: float) -> None:
        """Sends the rest within so many seconds, while `run` runs."""
        self._close_batch()
        self._full.set()
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            log.warning("%d rows of history were not taken by RabbitMQ before the end and are lost", self.waiting)

    def _close_batch(self) -> None:
        if not self._rows:
            return
        rows, self._rows = tuple(self._rows), []
        self._batches.append(Batch(self._producer, self._number, self._replica, rows))
        self._number += len(rows)
        self._in_batches += len(rows)
        self._empty.clear()
        self._on_rows(len(rows))
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        dropped = 0
        while self._in_batches > MOST_WAITING:
            dropped += len(self._batches[0].rows)
            self._remove(self._batches[0])
        if dropped:
            log.warning("RabbitMQ takes no history: the oldest %d rows are lost", dropped)

    async def _send_all(self) -> None:
        while self._batches:
            batch = self._batches[0]
            body = encode(batch)
            if len(body) > MOST_BYTES and len(batch.rows) > 1:
                self._halve(batch)
            elif await self._sent(batch, body):
                self._remove(batch)
            else:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _sent(self, batch: Batch, body: bytes) -> bool:
        """Whether this batch is done with: RabbitMQ has it or never will, or two halves have taken its place."""
        try:
            await self._send(body)
        except TooLarge as error:
            if len(batch.rows) > 1:
                self._halve(batch)
                return True
            log.warning("a row of history is lost: %s", error)
        except PublishFailed as error:
            log.info("history waits: %s", error)
            return False
        return True

    def _halve(self, batch: Batch) -> None:
        """Unless it was dropped meanwhile."""
        if self._batches and self._batches[0] is batch:
            middle = len(batch.rows) // 2
            self._batches.popleft()
            for first, rows in ((middle, batch.rows[middle:]), (0, batch.rows[:middle])):
                self._batches.appendleft(Batch(batch.producer, batch.number + first, batch.replica, rows))

    def _remove(self, batch: Batch) -> None:
        if self._batches and self._batches[0] is batch:
            self._batches.popleft()
            self._in_batches -= len(batch.rows)
        if not self._batches:
            self._empty.set()

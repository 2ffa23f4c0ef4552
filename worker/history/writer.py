"""From the history's queue into its database. A batch is acked once its rows are in; one that comes again adds none."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from worker.basics.clock import Clock
from worker.domain.history import Batch
from worker.history.batches import Pulses, UnreadableBatch, decode
from worker.history.store import HistoryStore
from worker.webhooks.store import StoreUnavailable

log = logging.getLogger(__name__)

TIDY_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 30.0
"""Between two tries while the database, or the broker, is away."""

AGAIN_SECONDS = 1.0
"""After the database, or the queue, was lost; doubled while no batch is written in between, up to LONGEST_WAIT_SECONDS:
each return of a batch to its queue counts as a taking."""

HOLD_SECONDS = 60.0
"""How long batches are held un-acked at most. RabbitMQ keeps its whole log from the first un-acked message on (2.5 GB
behind one message, where 362 MB were enough), and a full disk would stop the deliveries' publishes too."""

CALM_SECONDS = 300.0
"""How long the database must have been there before holes are counted: after an outage a batch that was held comes
behind those that were written before it."""

GATHERED_ROWS = 4000
"""So many in one write, and the next one follows at once: more are waiting, and gathering makes them no cheaper."""

LARGE_BYTES = 256 * 1024
"""Of bodies: larger ones are decoded in a thread, as deliveries may share the event loop."""


class Inbox(Protocol):
    """A channel that consumes the history's queue. Each call but `close` raises ConnectionError when it is gone."""

    async def take(self) -> Sequence[bytes]:
        """At least one batch, and those that have come beside it, in order."""

    async def ack(self) -> None:
        """Everything that was taken."""

    async def close(self) -> None:
        """What was taken and not acked goes back to the queue. Never raises."""


class Counts(Protocol):
    """What the writer reports (worker/telemetry/history.py)."""

    def written(self, rows: int) -> None: ...
    def lost(self, rows: int) -> None:
        """Rows that never arrived: counted once, by whichever writer tidied."""

    def unreadable(self) -> None:
        """A message of the queue that was no batch."""

    def database(self, up: bool) -> None: ...


class Writer:
    """`open_inbox` waits for a connection, and raises ConnectionError when it broke. `now` is Unix seconds.

    While the database is away nothing is consumed: batches wait in their queue, which drops the oldest at its limit.
    """

    def __init__(
        self,
        store: HistoryStore,
        open_inbox: Callable[[], Awaitable[Inbox]],
        counts: Counts,
        now: Clock,
        share: float = 1.0,
    ) -> None:
        """`share` of one processor that writing may take, so that deliveries in the same process have the rest."""
        self._store = store
        self._open_inbox = open_inbox
        self._counts = counts
        self._now = now
        self._share = share
        self._oldest: int | None = None
        self._failures = 0
        self._ready = asyncio.Event()
        self._ready_since = 0.0

    @property
    def behind(self) -> float:
        """Seconds since the first row of the oldest batch that it has seen and could not write yet; 0 without one."""
        return 0.0 if self._oldest is None else max(0.0, self._now() - self._oldest / 1000)

    @property
    def ready(self) -> bool:
        """The database has answered, and nothing has failed since."""
        return self._ready.is_set()

    async def run(self) -> None:
        """Until cancelled. Writes whenever broker and database are there."""
        while True:
            again = AsyncRetrying(
                retry=retry_if_exception_type(StoreUnavailable),
                wait=wait_random_exponential(max=LONGEST_WAIT_SECONDS),
                before_sleep=_say_why,
            )
            await again(self._store.prepare)
            self._database(True)
            try:
                await self._consume()
            except StoreUnavailable as error:
                log.warning("the history's database is away, batches wait in their queue: %s", error)
                self._database(False)
            except ConnectionError as error:
                log.info("the history's queue cannot be read: %s", error)
            self._failures += 1
            await asyncio.sleep(min(AGAIN_SECONDS * 2 ** min(self._failures - 1, 10), LONGEST_WAIT_SECONDS))

    async def tidy(self) -> None:
        """Keeps the database in order every minute while it has been there for CALM_SECONDS, until cancelled."""
        while True:
            await self._calm()
            try:
                tidied = await self._store.tidy()
            except StoreUnavailable as error:
                log.info("the history was not tidied: %s", error)
            else:
                self._report(tidied.expired, tidied.lost)
            await asyncio.sleep(TIDY_SECONDS)

    async def _calm(self) -> None:
        while True:
            await self._ready.wait()
            left = self._ready_since + CALM_SECONDS - self._now()
            if left <= 0:
                return
            await asyncio.sleep(left)

    def _report(self, expired: int, lost: int) -> None:
        if lost:
            log.warning("rows of history were lost on their way", extra={"rows": lost})
            self._counts.lost(lost)
        if expired:
            log.info("old history was dropped", extra={"dropped": expired})

    async def _consume(self) -> None:
        inbox = await self._open_inbox()
        try:
            while True:
                bodies = await inbox.take()
                began, used = asyncio.get_running_loop().time(), self._store.cpu_seconds
                async with asyncio.timeout(HOLD_SECONDS):
                    rows = await self._write(bodies)
                    await inbox.ack()
                self._oldest, self._failures = None, 0
                gather = self._store.gather_seconds if rows < GATHERED_ROWS else 0.0
                share = (self._store.cpu_seconds - used) / self._share
                await asyncio.sleep(max(0.0, max(gather, share) - (asyncio.get_running_loop().time() - began)))
        except TimeoutError:
            raise StoreUnavailable(f"it has not taken {len(bodies)} batches within {HOLD_SECONDS:g} s") from None
        finally:
            await inbox.close()

    async def _write(self, bodies: Sequence[bytes]) -> int:
        """Returns how many rows there were."""
        found = [each for body in bodies if (each := await self._decoded(body)) is not None]
        batches = [each for each in found if isinstance(each, Batch)]
        if batches:
            self._oldest = min(batch.rows[0].at for batch in batches)
            self._counts.written(await self._store.write(batches))
        pulses = [pulse for each in found if not isinstance(each, Batch) for pulse in each]
        if pulses:
            await self._store.hear(pulses)
        return sum(len(batch.rows) for batch in batches)

    async def _decoded(self, body: bytes) -> Batch | Pulses | None:
        """None: nobody could ever write it, so it does not come back."""
        try:
            if len(body) > LARGE_BYTES:
                return await asyncio.to_thread(decode, body)
            await asyncio.sleep(0)  # deliveries' turn: the next one takes a millisecond
            return decode(body)
        except UnreadableBatch as error:
            log.warning("a message of the history's queue is dropped: %s", error)
            self._counts.unreadable()
            return None

    def _database(self, up: bool) -> None:
        if up and not self._ready.is_set():
            self._ready_since = self._now()
        (self._ready.set if up else self._ready.clear)()
        self._counts.database(up)


def _say_why(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("history is not written yet: %s", error)

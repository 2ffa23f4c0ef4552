"""The history's outside in a test's hand: the queue, the database, what is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from worker.delivery.ports import PublishFailed
from worker.domain.history import Batch, Row
from worker.domain.notices.trouble import Trouble
from worker.domain.silence.pulse import Pulse
from worker.history.batches import decode
from worker.history.store import Cursor, Health, Kept, Page, Question, Tidied
from worker.webhooks.store import StoreUnavailable


def row(number: int = 0, **changed: object) -> Row:
    """A Delivered row; `number` is its time, too."""
    made = Row(
        number, "msg_1", "e1", "acme", "default", "MESSAGES_UPSERT", "5511@s.whatsapp.net", "Delivered", "ok", 1, 200,
        12, None, None, None, 800, "h:80",
    )  # fmt: skip
    return made._replace(**changed)


class FakeQueue:
    """Recording's way out. `failing`: no publish is confirmed. `release`: while it is not set, confirms do not come."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.failure: PublishFailed | None = None
        self.release = asyncio.Event()
        self.release.set()

    def send(self, body: bytes) -> asyncio.Future[object]:
        return asyncio.ensure_future(self._confirm(body))

    async def _confirm(self, body: bytes) -> object:
        await self.release.wait()
        if self.failure is not None:
            raise self.failure
        self.bodies.append(body)
        return None

    @property
    def batches(self) -> list[Batch]:
        return [found for found in map(decode, self.bodies) if isinstance(found, Batch)]

    @property
    def pulses(self) -> list[Pulse]:
        """Of all messages, in order."""
        return [pulse for found in map(decode, self.bodies) if not isinstance(found, Batch) for pulse in found]


class FakeInbox:
    """history.writer.Inbox: gives what `queue` holds, and forgets it at the ack."""

    def __init__(self, queue: list[bytes]) -> None:
        self.queue = queue
        self.taken = 0
        self.stirred = asyncio.Event()
        self.closed = False
        if queue:
            self.stirred.set()

    async def take(self) -> Sequence[bytes]:
        await self.stirred.wait()
        if self.closed:
            raise ConnectionError("the channel was closed")
        self.stirred.clear()
        self.taken = len(self.queue)
        return list(self.queue)

    async def ack(self) -> None:
        del self.queue[: self.taken]

    async def close(self) -> None:
        self.closed = True


class FakeStore:
    """history.store.HistoryStore, as a dictionary. While `away` every call raises."""

    def __init__(self) -> None:
        self.away = False
        self.cpu_seconds = self.gather_seconds = 0.0
        self.calls: list[str] = []
        self.batches: dict[tuple[str, int], Batch] = {}
        self.heard: list[Pulse] = []
        self.lost = 0
        self.kept: list[Kept] = []
        self.found: Mapping[str, Health] = {}
        self.asked: list[tuple[object, ...]] = []

    def _ask(self, call: str) -> None:
        self.calls.append(call)
        if self.away:
            raise StoreUnavailable("the database is away")

    async def prepare(self) -> None:
        self._ask("prepare")

    async def write(self, batches: Sequence[Batch]) -> int:
        self._ask("write")
        new = {(batch.producer, batch.number): batch for batch in batches}
        rows = sum(len(batch.rows) for name, batch in new.items() if name not in self.batches)
        self.batches |= new
        return rows

    async def hear(self, pulses: Sequence[Pulse]) -> None:
        self._ask("hear")
        self.heard += pulses

    async def silent(self, now: int) -> tuple[str, ...]:
        self._ask("silent")
        return ()

    async def failing(self) -> Sequence[Trouble]:
        self._ask("failing")
        return ()

    async def tidy(self, now: int | None = None) -> Tidied:
        self._ask("tidy")
        lost, self.lost = self.lost, 0
        return Tidied(0, lost)

    async def page(self, question: Question, after: Cursor | None, limit: int) -> Page:
        self._ask("page")
        self.asked.append((question, after, limit))
        found = [one for one in self.kept if question.owner in (None, one.row.instance)]
        following = Cursor(found[limit - 1].row.at, found[limit - 1].number) if len(found) > limit else None
        return Page(tuple(found[:limit]), following)

    async def timeline(self, delivery_id: str, owner: str | None) -> tuple[Kept, ...]:
        self._ask("timeline")
        self.asked.append((delivery_id, owner))
        return tuple(k for k in self.kept if k.row.id == delivery_id and owner in (None, k.row.instance))

    async def health(self, instance: str, now: int) -> Mapping[str, Health]:
        self._ask("health")
        return self.found

    async def close(self) -> None:
        self.calls.append("close")


class FakeCounts:
    """history.writer.Counts, as numbers."""

    def __init__(self) -> None:
        self.rows = self.rows_lost = self.not_read = 0
        self.states: list[bool] = []

    def written(self, rows: int) -> None:
        self.rows += rows

    def lost(self, rows: int) -> None:
        self.rows_lost += rows

    def unreadable(self) -> None:
        self.not_read += 1

    def database(self, up: bool) -> None:
        self.states.append(up)

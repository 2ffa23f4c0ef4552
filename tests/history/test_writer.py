"""The writer: acks after the rows are in, waits while the database is away, and lets no message stop it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tenacity import wait_none

from tests.delivery.fakes import Clock
from tests.history.fakes import FakeCounts, FakeInbox, FakeStore, row
from tests.support.waiting import eventually
from worker.basics.tasks import end
from worker.domain.history import Batch
from worker.history import writer as module
from worker.history.batches import encode
from worker.history.writer import Inbox, Writer


def batch(number: int, rows: int = 2) -> bytes:
    return encode(Batch("run-1", number, "pod-1", tuple(row(1_795_000_000_000 + n) for n in range(rows))))


class Rig:
    def __init__(self, *bodies: bytes) -> None:
        self.queue, self.store, self.counts = list(bodies), FakeStore(), FakeCounts()
        self.clock = Clock(1_795_000_060.0)
        self.inboxes: list[FakeInbox] = []
        self.refused = 0
        self.writer = Writer(self.store, self._open, self.counts, self.clock)

    async def _open(self) -> Inbox:
        if self.refused:
            self.refused -= 1
            raise ConnectionError("the connection was lost")
        self.inboxes.append(FakeInbox(self.queue))
        return self.inboxes[-1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.writer.run()), asyncio.create_task(self.writer.tidy())]
        try:
            yield
        finally:
            await end(*tasks)

    async def empty(self) -> None:
        async def ask() -> int:
            return len(self.queue)

        await eventually(ask, lambda count: count == 0, 10, "the queue to be empty")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "wait_random_exponential", lambda **_: wait_none())
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.001)


async def test_batches_are_written_together_and_acked_then() -> None:
    rig = Rig(batch(0), batch(2), batch(4))
    async with rig.running():
        await rig.empty()
    assert rig.store.calls.count("write") == 1
    assert sorted(number for _, number in rig.store.batches) == [0, 2, 4]
    assert (rig.counts.rows, rig.writer.behind) == (6, 0.0)


async def test_while_the_database_is_away_nothing_is_acked_and_its_age_is_told() -> None:
    rig = Rig(batch(0))
    async with rig.running():
        await rig.empty()
        rig.store.away = True
        rig.queue.append(batch(2))
        rig.inboxes[-1].stirred.set()

        async def closed() -> bool:
            return rig.inboxes[-1].closed

        await eventually(closed, bool, 10, "the channel to be closed")
        assert (len(rig.queue), rig.writer.ready, rig.writer.behind) == (1, False, 60.0)
        opened = len(rig.inboxes)
        await asyncio.sleep(0.01)
        assert len(rig.inboxes) == opened
        rig.store.away = False
        await rig.empty()
        assert rig.writer.ready
    assert rig.counts.states == [True, False, True]
    assert rig.counts.rows == 4


async def test_a_batch_that_comes_again_is_acked_and_counts_nothing() -> None:
    rig = Rig(batch(0))
    async with rig.running():
        await rig.empty()
        rig.queue.append(batch(0))
        rig.inboxes[-1].stirred.set()
        await rig.empty()
    assert rig.counts.rows == 2


async def test_what_is_no_batch_is_counted_acked_and_keeps_nothing_out(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(b"hostile", batch(0), b'{"v":9}')
    async with rig.running():
        await rig.empty()
    assert (rig.counts.not_read, rig.counts.rows) == (2, 2)
    assert "version 9" in caplog.text


async def test_a_large_batch_is_read_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE_BYTES", 100)
    rig = Rig(batch(0))
    async with rig.running():
        await rig.empty()
    assert rig.counts.rows == 2


async def test_a_connection_that_breaks_is_opened_again() -> None:
    rig = Rig(batch(0))
    rig.refused = 2
    async with rig.running():
        await rig.empty()
        rig.inboxes[-1].closed = True
        rig.queue.append(batch(2))
        rig.inboxes[-1].stirred.set()
        await rig.empty()
    assert len(rig.inboxes) == 2
    assert rig.counts.rows == 4


async def test_lost_rows_are_counted_by_whoever_tidied() -> None:
    rig = Rig()
    rig.store.lost = 7
    async with rig.running():

        async def lost() -> int:
            return rig.counts.rows_lost

        await eventually(lost, lambda rows: rows == 7, 10, "the hole to be counted")
    assert rig.store.calls[:2] == ["prepare", "tidy"]

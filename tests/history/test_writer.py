"""The writer: acks after the rows are in, waits while the database is away, and lets no message stop it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from tenacity import wait_none

from tests.delivery.fakes import Clock
from tests.history.fakes import FakeCounts, FakeInbox, FakeStore, row
from tests.support.waiting import eventually
from worker.basics.tasks import end
from worker.domain.history import Batch
from worker.domain.silence.pulse import Pulse
from worker.history import writer as module
from worker.history.batches import encode, encode_pulses
from worker.history.writer import Inbox, Writer
from worker.webhooks.store import StoreUnavailable


def batch(number: int, rows: int = 2) -> bytes:
    return encode(Batch("run-1", number, "pod-1", tuple(row(1_795_000_000_000 + n) for n in range(rows))))


class Rig:
    def __init__(self, *bodies: bytes) -> None:
        self.queue, self.store, self.counts = list(bodies), FakeStore(), FakeCounts()
        self.clock = Clock(1_795_000_060.0)
        self.inboxes: list[FakeInbox] = []
        self.refused = 0
        self.writer = Writer(self.store, self._open, self.counts, self.clock, share=0.25)

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
    monkeypatch.setattr(module, "CALM_SECONDS", 0.0)


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


async def test_holes_are_counted_only_when_the_database_has_been_there_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CALM_SECONDS", 0.1)
    rig = Rig(batch(0))
    async with rig.running():
        await rig.empty()
        assert "tidy" not in rig.store.calls
        rig.clock.now += 0.1

        async def calls() -> list[str]:
            return rig.store.calls

        await eventually(calls, lambda made: "tidy" in made, 10, "the database to be tidied")


async def test_batches_that_a_database_does_not_take_go_back_to_their_queue(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is held un-acked keeps RabbitMQ's log on its disk."""
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.05)
    rig = Rig(batch(0))
    hangs, write = asyncio.Event(), rig.store.write

    async def hanging(batches: Sequence[Batch]) -> int:
        if not hangs.is_set():
            hangs.set()
            await asyncio.Event().wait()
        return await write(batches)

    monkeypatch.setattr(rig.store, "write", hanging)
    async with rig.running():
        await rig.empty()
    assert rig.inboxes[0].closed
    assert rig.counts.rows == 2
    assert rig.counts.states == [True, False, True]
    assert "it has not taken 1 batches within 0.05 s" in caplog.text


async def test_a_database_that_answers_and_takes_nothing_is_tried_less_and_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(batch(0))
    tries = itertools.count(1)
    rests: list[float] = []
    sleep = asyncio.sleep

    async def refusing(batches: Sequence[Batch]) -> int:
        if next(tries) < 7:
            raise StoreUnavailable("it is read-only")
        return len(batches)

    async def noted(seconds: float) -> None:
        rests.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(rig.store, "write", refusing)
    monkeypatch.setattr(asyncio, "sleep", noted)
    async with rig.running():
        await rig.empty()
    wanted = [module.AGAIN_SECONDS * 2**failure for failure in range(6)]
    assert wanted[-1] >= 0.032
    assert [seconds for seconds in rests if seconds in wanted] == wanted


async def test_writing_rests_so_that_it_takes_its_share_of_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(batch(0))
    write, ended = rig.store.write, 0.0
    loop = asyncio.get_running_loop()

    async def costly(batches: Sequence[Batch]) -> int:
        nonlocal ended
        if not ended:
            rig.store.cpu_seconds += 0.02
            rig.queue.append(batch(2))
            rig.inboxes[-1].stirred.set()
            ended = loop.time()
        return await write(batches)

    monkeypatch.setattr(rig.store, "write", costly)
    async with rig.running():
        await rig.empty()
        assert loop.time() - ended >= 0.075, "four times what it took, less that"


async def test_pulses_are_heard_beside_rows_and_acked_after_both() -> None:
    rig = Rig(encode_pulses([Pulse("acme", 1)]), batch(0), encode_pulses([Pulse("acme", 2), Pulse("shop", 3)]))
    async with rig.running():
        await rig.empty()
    assert rig.store.heard == [Pulse("acme", 1), Pulse("acme", 2), Pulse("shop", 3)]
    assert rig.counts.rows == 2


@pytest.mark.parametrize(("enough", "gathers"), [(4000, True), (4, False)])
async def test_a_database_that_likes_many_rows_at_once_is_given_time_to_get_them(
    monkeypatch: pytest.MonkeyPatch, enough: int, gathers: bool
) -> None:
    """Unless so many came that more must be waiting."""
    monkeypatch.setattr(module, "GATHERED_ROWS", enough)
    rig = Rig(batch(0), batch(2))
    rig.store.gather_seconds = 3600.0
    async with rig.running():
        await rig.empty()
        rig.inboxes[0].queue.append(batch(4))
        rig.inboxes[0].stirred.set()
        if gathers:
            await asyncio.sleep(0.05)
            assert rig.queue
        else:
            await rig.empty()

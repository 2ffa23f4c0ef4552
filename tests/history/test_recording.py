"""Rows become numbered batches; while RabbitMQ takes none they wait within a bound, and the oldest go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.history.fakes import FakeQueue, row
from tests.support.waiting import eventually
from worker.basics.tasks import end
from worker.delivery.ports import PublishFailed, TooLarge
from worker.history import recording as module
from worker.history.recording import MOST_BYTES, MOST_ROWS, MOST_WAITING, Recording


class Rig:
    def __init__(self, *, failures_only: bool = False) -> None:
        self.queue = FakeQueue()
        self.counted = 0
        self.recording = Recording("run-1", "pod-1", self.queue.send, self._count, failures_only=failures_only)

    def _count(self, rows: int) -> None:
        self.counted += rows

    def add(self, rows: int, **changed: object) -> None:
        for number in range(rows):
            self.recording.add(row(number, **changed))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.recording.run())
        try:
            yield
        finally:
            await end(task)

    async def sent(self, rows: int) -> None:
        async def ask() -> int:
            return sum(len(batch.rows) for batch in self.queue.batches)

        await eventually(ask, lambda count: count == rows, 10, f"{rows} rows to be sent")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.005)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.001)


async def test_rows_go_in_batches_that_are_numbered_by_their_first_row() -> None:
    rig = Rig()
    rig.add(MOST_ROWS + 3)
    async with rig.running():
        await rig.sent(MOST_ROWS + 3)
        rig.add(2)
        await rig.sent(MOST_ROWS + 5)
    assert [(b.producer, b.number, b.replica, len(b.rows)) for b in rig.queue.batches] == [
        ("run-1", 0, "pod-1", MOST_ROWS),
        ("run-1", MOST_ROWS, "pod-1", 3),
        ("run-1", MOST_ROWS + 3, "pod-1", 2),
    ]
    assert rig.counted == MOST_ROWS + 5
    assert rig.recording.waiting == 0


async def test_a_full_batch_does_not_wait_for_the_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 3600)
    rig = Rig()
    async with rig.running():
        await asyncio.sleep(0)
        rig.add(MOST_ROWS)
        await rig.sent(MOST_ROWS)


async def test_what_rabbitmq_did_not_take_is_sent_again_under_the_same_number() -> None:
    rig = Rig()
    rig.queue.failure = PublishFailed("no connection to RabbitMQ")
    rig.add(3)
    async with rig.running():
        await asyncio.sleep(0.02)
        assert (rig.queue.bodies, rig.recording.waiting) == ([], 3)
        rig.queue.failure = None
        await rig.sent(3)
    assert [batch.number for batch in rig.queue.batches] == [0]


async def test_while_rabbitmq_takes_none_the_oldest_rows_go_and_leave_a_hole() -> None:
    rig = Rig()
    rig.queue.failure = PublishFailed("no connection to RabbitMQ")
    async with rig.running():
        rig.add(MOST_WAITING + 3 * MOST_ROWS)
        assert rig.recording.waiting == MOST_WAITING
        rig.queue.failure = None
        await rig.sent(MOST_WAITING)
    assert rig.queue.batches[0].number == 3 * MOST_ROWS
    assert rig.counted == MOST_WAITING + 3 * MOST_ROWS


async def test_rows_are_bounded_also_while_a_confirm_does_not_come() -> None:
    rig = Rig()
    rig.queue.release.clear()
    async with rig.running():
        rig.add(MOST_ROWS)
        await asyncio.sleep(0.02)
        rig.add(2 * MOST_WAITING)
        assert rig.recording.waiting == MOST_WAITING
        rig.queue.release.set()
        await rig.sent(MOST_WAITING + MOST_ROWS)  # the one whose confirm was late has arrived
    numbers = [batch.number for batch in rig.queue.batches]
    assert numbers == sorted(set(numbers))


async def test_large_rows_make_smaller_batches_that_follow_each_other() -> None:
    rig = Rig()
    rig.add(MOST_ROWS, answer="\0" * 2048)
    async with rig.running():
        await rig.sent(MOST_ROWS)
    assert max(map(len, rig.queue.bodies)) <= MOST_BYTES
    starts = [batch.number for batch in rig.queue.batches]
    assert starts == [sum(len(b.rows) for b in rig.queue.batches[:at]) for at in range(len(starts))]
    assert [one.at for batch in rig.queue.batches for one in batch.rows] == list(range(MOST_ROWS))


async def test_a_row_that_no_broker_takes_is_lost_alone() -> None:
    rig = Rig()
    rig.add(1)
    rig.queue.failure = TooLarge("more than RabbitMQ's max_message_size")
    async with rig.running():
        await rig.recording.finish(5)
        assert (rig.recording.waiting, rig.queue.bodies) == (0, [])
        rig.queue.failure = None
        rig.add(1)
        await rig.sent(1)
    assert [batch.number for batch in rig.queue.batches] == [1]


async def test_the_end_sends_what_is_left_and_waits_no_longer_than_it_may(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    async with rig.running():
        rig.add(5)
        await rig.recording.finish(5)
        assert [len(batch.rows) for batch in rig.queue.batches] == [5]
        await rig.recording.finish(0.01)
        rig.queue.failure = PublishFailed("no connection to RabbitMQ")
        rig.add(2)
        await rig.recording.finish(0.01)
    assert "2 rows of history" in caplog.text


async def test_failures_only_is_what_the_delivery_asks_for() -> None:
    assert Recording("p", "r", FakeQueue().send, print, failures_only=True).failures_only

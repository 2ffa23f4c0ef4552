"""The channel of one ordered queue, over a channel that is no broker's."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiormq.channel import Channel

from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.frames import settlements
from worker.broker.ordered import channel as module
from worker.broker.ordered.channel import OrderedChannel


class Stage:
    """`frames` is what was written, `ended` how often the session was told to end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.channel = SimpleNamespace(
            number=3,
            closing=asyncio.get_running_loop().create_future(),
            on_consumer_cancel_callbacks=set(),
            is_closed=False,
            connection=None,
            close=self._close,
        )
        self.frames: list[bytes] = []
        self.taken: list[TakenMessage] = []
        self.ended = 0
        monkeypatch.setattr(module, "write_now", lambda _, frames: self.frames.append(frames) or True)
        self.ordered = OrderedChannel(cast(Channel, self.channel), "webhooks.ordered", self.taken.append, self._end)

    def take(self, *tags: int) -> None:
        for tag in tags:
            self.ordered._taken(b"{}", {}, None, "evolution_exchange", "messages.upsert", tag, False)

    def acks(self, *acks: tuple[int, bool]) -> bytes:
        return settlements(cast(Any, self.channel), acks, ())

    async def _close(self) -> None:
        self.channel.is_closed = True
        self.channel.closing.set_result(None)

    def _end(self) -> None:
        self.ended += 1


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


async def test_acks_go_out_together_and_one_behind_an_unfinished_one_by_itself(stage: Stage) -> None:
    stage.take(1, 2, 3, 4)
    for number in (0, 1, 3):
        stage.taken[number].ack()
    assert stage.frames == []
    await stage.ordered.close()
    assert stage.frames == [stage.acks((2, True)), stage.acks((4, False))]
    assert stage.ended == 0, "it was closed by ourselves"


async def test_a_channel_that_rabbitmq_closes_ends_the_session(stage: Stage) -> None:
    stage.take(1)
    await stage._close()
    await asyncio.sleep(0)
    assert stage.ended == 1
    stage.taken[0].ack()
    await stage.ordered._sent()
    assert stage.frames == [], "all of it comes again"


async def test_what_still_comes_after_the_close_is_not_taken(stage: Stage) -> None:
    await stage.ordered.close()
    stage.take(1)
    assert stage.taken == []


async def test_a_message_that_cannot_be_taken_leaves_the_connection_alone(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(_: TakenMessage) -> None:
        raise ZeroDivisionError("ours")

    stage.ordered._take = fault
    stage.take(1)
    assert "ours" in caplog.text
    assert stage.ended == 0

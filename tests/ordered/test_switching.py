"""A switch of `order`: the way of its marker, and when the row gets its new order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.delivery.conftest import calm
from tests.delivery.fakes import FakeMessage
from worker.delivery.ports import PublishFailed
from worker.domain.backoff import schedule
from worker.domain.webhook import Endpoint, Webhook
from worker.ordered.switching import AGAIN_SECONDS, Marker, Stage, Switching, body_of, marker_in

ROW = Webhook("acme", "https://bot.example/in", id="bot", order_next="chat", order_switch_at=7000)


class Rig:
    """`sent`: where each publish went (a delay, "events", "ordered") and the marker in it."""

    def __init__(self) -> None:
        self.sent: list[tuple[int | str, Marker]] = []
        self.finished: list[tuple[Endpoint, int]] = []
        self.arrivals = 0
        self.fails = False
        self.now = 0.0
        self.switching = Switching(self, self._finish, self._arrived, schedule(2, 5, 3, 21600), 60.0, lambda: self.now)

    async def later(self, body: bytes, delay: int) -> None:
        self._publish(delay, body)

    async def to_events(self, body: bytes) -> None:
        self._publish("events", body)

    async def to_ordered(self, body: bytes) -> None:
        self._publish("ordered", body)

    def _publish(self, where: int | str, body: bytes) -> None:
        if self.fails:
            raise PublishFailed("no connection to RabbitMQ")
        marker = marker_in(body)
        assert marker is not None
        self.sent.append((where, marker))

    async def _finish(self, endpoint: Endpoint, at: int) -> None:
        self.finished.append((endpoint, at))

    async def _arrived(self) -> None:
        self.arrivals += 1

    async def way(self) -> list[int | str]:
        """Carries the marker on until it is out of the unordered side's hands."""
        while self.sent[-1][0] != "ordered" and not self.arrivals:
            message = FakeMessage(body_of(self.sent[-1][1]))
            assert self.switching.passes_on(message)
            await calm()
            assert message.ends == ["ack"]
        return [where for where, _ in self.sent]


async def test_a_marker_waits_passes_the_events_waits_again_and_reaches_the_ordered_queue() -> None:
    rig = Rig()
    rig.switching.seen(ROW)
    await calm()
    assert await rig.way() == [135, "events", 135, "ordered"], "twice 60 s, then 60 s and 30"
    assert rig.sent[-1][1] == Marker(Stage.IN_ORDERED, "acme", "bot", 7000)
    await rig.switching.ended(rig.sent[-1][1])
    assert rig.finished == [(ROW.endpoint, 7000)]


async def test_what_no_delay_queue_is_long_enough_for_takes_several() -> None:
    rig = Rig()
    rig.switching = Switching(rig, rig._finish, rig._arrived, schedule(2, 5, 3, 21600), 4000.0, lambda: 0.0)
    rig.switching.seen(ROW)
    await calm()
    assert await rig.way() == [3645, 3645, 1215, "events", 3645, 405, "ordered"]


async def test_the_marker_of_a_queue_that_was_bound_later_notes_its_arrival() -> None:
    rig = Rig()
    await rig.switching.send_for_bound()
    assert await rig.way() == [45, "events", 135]
    assert rig.arrivals == 1


async def test_each_step_is_confirmed_before_the_one_before_is_acked() -> None:
    rig = Rig()
    rig.fails = True
    message = FakeMessage(body_of(Marker(Stage.IN_EVENTS, "acme", "bot", 7000)))
    assert rig.switching.passes_on(message)
    await calm()
    assert message.ends == ["hand back"]


async def test_a_marker_is_sent_once_and_again_only_when_it_does_not_come_back_or_could_not_be_sent() -> None:
    rig = Rig()
    rig.fails = True
    rig.switching.seen(ROW)
    await calm()
    rig.fails = False
    for seconds, sent in ((0.0, 1), (AGAIN_SECONDS - 1, 1), (AGAIN_SECONDS, 2)):
        rig.now = seconds
        rig.switching.seen(ROW)
        await calm()
        assert len(rig.sent) == sent
    rig.switching.seen(replace(ROW, order_switch_at=8000))
    await calm()
    assert rig.sent[-1][1].at == 8000, "another switch"


async def test_without_a_row_that_says_when_it_began_a_switch_is_ended_by_its_settings() -> None:
    rig = Rig()
    rig.switching.seen(replace(ROW, order_switch_at=None))
    rig.switching.seen(replace(ROW, order="chat", order_next=None))
    await calm()
    assert rig.sent == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"event":"x"}',
        b'{"order_marker":7}',
        b'{"order_marker":{"stage":"?"}}',
        pytest.param(b'{"order_marker":{"x":' + b"[" * 2000, id="nested too deeply"),
    ],
)
def test_what_is_no_marker_is_left_to_others(body: bytes) -> None:
    rig = Rig()
    assert not rig.switching.passes_on(FakeMessage(body))

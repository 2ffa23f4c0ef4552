"""What is for ordered webhooks alone ends on the unordered side as it comes, and nothing else does."""

import logging
from dataclasses import replace
from typing import Any

import pytest

from tests.delivery.conftest import MakeRig, Rig
from tests.delivery.fakes import Clock, FakeMessage
from tests.support.events import event
from worker.broker.past_headers import headers_of
from worker.delivery import left_to_order
from worker.delivery.attempt import LARGE_BYTES
from worker.domain.event import identity
from worker.domain.glance import glance
from worker.domain.past import Past
from worker.domain.webhook import GLOBAL_ID, Webhook

BOT = Webhook("acme", "https://h.example/bot", order="chat")
LOG = Webhook("acme", "https://h.example/log", id="log")
BODY = event("messages.upsert", "acme")


@pytest.fixture
def one(rig: MakeRig) -> Rig:
    made = rig(BOT)
    made.pipeline.left_to_order.active = True
    made.pipeline.left_to_order.met_one()
    return made


def test_it_is_received_and_heard_and_that_is_all(one: Rig) -> None:
    assert one.pipeline.left_to_order.passes(BODY)
    assert one.recorder.kinds == ["MESSAGES_UPSERT"]
    assert one.pulses.events == [("MESSAGES_UPSERT", "acme", one.clock())]
    assert (one.recorder.started_count, one.recorder.records, one.history.rows) == (0, [], [])


def test_until_the_ordered_side_gets_everything_nothing_is_left_to_it(one: Rig) -> None:
    one.pipeline.left_to_order.active = False
    assert not one.pipeline.left_to_order.passes(BODY)


@pytest.mark.parametrize(
    "webhooks",
    [
        pytest.param((BOT, LOG), id="another is not ordered"),
        pytest.param((LOG,), id="none is ordered"),
        pytest.param((replace(BOT, order_next="none"),), id="it is switched: both sides send"),
        pytest.param((), id="nobody hears it: that is an outcome"),
        pytest.param(None, id="they are not known yet"),
    ],
)
def test_whoever_else_may_want_it_it_goes_on_and_nothing_is_counted(
    one: Rig, webhooks: tuple[Webhook, ...] | None
) -> None:
    if webhooks is None:
        del one.webhooks.known["acme"]
    else:
        one.webhooks.known["acme"] = webhooks
    assert not one.pipeline.left_to_order.passes(BODY)
    assert (one.recorder.kinds, one.pulses.events) == ([], [])


def test_what_is_not_known_yet_goes_on_although_the_operators_webhook_wants_order(rig: MakeRig) -> None:
    one = rig(global_webhook=Webhook("", "https://h.example/all", id=GLOBAL_ID, order="chat"))
    one.pipeline.left_to_order.active = True
    one.pipeline.left_to_order.met_one()
    assert not one.pipeline.left_to_order.passes(BODY), "it may have webhooks without order"
    one.webhooks.known["acme"] = ()
    assert one.pipeline.left_to_order.passes(BODY)


async def test_events_are_glanced_at_behind_one_that_is_theirs_and_no_more_behind_many_that_are_not(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    monkeypatch.setattr(left_to_order, "glance", lambda body: seen.append(body) or glance(body))
    one = rig(BOT, Webhook("other", "https://h.example/other"))
    left, other = one.pipeline.left_to_order, event("messages.upsert", "other")
    left.active = True
    one.webhooks.known["mixed"] = (replace(BOT, instance="mixed"), replace(LOG, instance="mixed"))
    await one.take(FakeMessage(event("messages.upsert", "mixed"), exchange="evolution_exchange"))
    assert (left.passes(BODY), seen) == (False, []), "nothing that is theirs alone has come yet"
    await one.take(FakeMessage(BODY, exchange="evolution_exchange"))
    assert one.posted == [LOG.url]
    for body in (b"", event("connection.update", "acme", {"state": "open"})):
        assert not left.passes(body)
    assert left.passes(BODY), "that closed nothing"
    for _ in range(left_to_order.GLANCES - 1):
        assert not left.passes(other)
    assert left.passes(BODY), "one of a hundred is enough"
    for _ in range(2 * left_to_order.GLANCES):
        assert not left.passes(other)
    assert seen.count(other) == 2 * left_to_order.GLANCES - 1
    assert not left.passes(BODY)


@pytest.mark.parametrize("body", [b"", b"{}", b"[1", b'{"order_marker":{}}', event("call", "acme", "x" * LARGE_BYTES)])
def test_what_is_no_event_or_takes_a_thread_is_the_pipelines_to_read(one: Rig, body: bytes) -> None:
    assert not one.pipeline.left_to_order.passes(body)


def test_after_a_fault_of_the_worker_it_goes_on(
    one: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: str, __: str, ___: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(one.pulses, "sign", broken)
    with caplog.at_level(logging.ERROR):
        assert not one.pipeline.left_to_order.passes(BODY)
    assert one.recorder.kinds == [], "it will be counted where it goes on"
    assert "could not be left to the ordered side" in caplog.text


def test_a_change_of_connection_waits_for_its_turn_among_the_others(one: Rig) -> None:
    """The last one that is heard counts, and one that came before may still wait for the pipeline."""
    assert not one.pipeline.left_to_order.passes(event("connection.update", "acme", {"state": "open"}))
    assert (one.recorder.kinds, one.pulses.events) == ([], [])


def carried(**odd: Any) -> dict[str, Any]:
    """A message of ours, on which an event that an exchange had brought comes back."""
    past = Past(identity(BODY, None), Clock().now, "evolution_exchange", "messages.upsert", **odd)
    return {"headers": headers_of(past), "exchange": ""}


@pytest.mark.parametrize(
    ("how", "sent"),
    [
        pytest.param({}, False, id="the exchange brought it to both queues"),
        pytest.param(carried(parkings=1), False, id="so it did before it was parked"),
        pytest.param(carried(log=("2026-11-22T08:00:00Z redriven",)), True, id="redriven: to this queue alone"),
        pytest.param({"exchange": ""}, True, id="published past the exchange"),
    ],
)
async def test_what_the_ordered_queue_never_got_is_sent_here(one: Rig, how: dict[str, Any], sent: bool) -> None:
    message = FakeMessage(BODY, **how)
    await one.take(message)
    assert (one.posted, message.ends) == (["https://h.example/bot"] if sent else [], ["ack"])

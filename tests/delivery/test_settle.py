"""Settling: nothing is acked before its publish is confirmed, and what cannot be published stays the broker's."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from tests.delivery.conftest import MakeRig, Rig, calm
from tests.delivery.fakes import FakeMessage
from tests.support.events import event
from tests.support.waiting import eventually
from worker.delivery import settle
from worker.domain.outcome import Parked, ParkReason
from worker.domain.verdict import Answered
from worker.domain.webhook import Webhook

ACME = Webhook("acme", "http://h/acme")


@pytest.fixture
def failing(rig: MakeRig) -> Rig:
    """Its receiver answers 500 to everything."""
    found = rig(ACME)
    found.sender.answers["http://h/acme"] = Answered(500)
    return found


@pytest.fixture
def stumbling(failing: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Its first three publishes fail, too, and are soon tried again."""
    monkeypatch.setattr(settle, "LONGEST_PUBLISH_WAIT_SECONDS", 0.001)
    failing.publisher.failures = 3
    return failing


async def test_a_failed_publish_is_tried_again_until_it_is_confirmed(stumbling: Rig) -> None:
    message = FakeMessage(event())
    await stumbling.take(message)
    assert message.ends == []
    await stumbling.pipeline.drain(5)
    assert (message.ends, stumbling.publisher.tries) == (["ack"], 4)
    assert stumbling.recorder.failed_publishes == 3
    assert stumbling.recorder.outcomes == ["Retried 5xx"]


async def test_a_publish_that_was_tried_again_lets_its_message_go_without_the_collector(stumbling: Rig) -> None:
    message = FakeMessage(event())
    gone = weakref.ref(message)
    gc.disable()
    try:
        await stumbling.take(message)
        await stumbling.pipeline.drain(5)
        del message
        assert gone() is None
    finally:
        gc.enable()


async def test_a_lost_message_is_not_published_as_well(failing: Rig) -> None:
    """The broker delivers it again: a second copy would make two deliveries of one."""
    failing.publisher.failures = 1
    message = FakeMessage(event(), lost=True)
    await failing.take(message)
    await failing.pipeline.drain(5)
    assert failing.publisher.published == []
    assert failing.recorder.outcomes == ["Parked handed_back"]


async def test_a_publish_without_a_confirm_is_handed_back_at_the_end(
    failing: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing.publisher.release.clear()
    message = FakeMessage(event())
    await failing.take(message)
    await failing.settler.finished(0.01)
    assert message.ends == ["hand back"]
    assert failing.recorder.outcomes == ["Parked handed_back"]


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_a_fault_of_ours_keeps_from_being_published_stays_the_brokers(
    failing: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, at_once: bool
) -> None:
    def broken(*_: object) -> asyncio.Future[object]:
        fault = ValueError("ours")
        if at_once:
            raise fault
        publish: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        publish.set_exception(fault)
        return publish

    monkeypatch.setattr(failing.publisher, "retry", broken)
    message = FakeMessage(event())
    await failing.take(message)
    assert message.ends == ["hand back"]
    assert failing.recorder.outcomes == ["Parked handed_back"]
    assert "ValueError: ours" in caplog.text


async def test_a_dead_letter_carries_reason_error_time_instance_event_and_id(rig: MakeRig) -> None:
    found = rig(ACME)
    found.sender.answers["http://h/acme"] = Answered(404)
    await found.take(FakeMessage(event()))
    (published,) = found.publisher.published
    ((request, _),) = found.sender.sent
    assert published.facts == {
        "reason": "rejected",
        "error": "the receiver answered 404",
        "dead-since": "2026-11-18T11:06:40.000+00:00",
        "instance": "acme",
        "event": "messages.upsert",
        "id": request.headers["webhook-id"],
    }
    assert published.headers["x-delivery-log"] == ["2026-11-18T11:06:40.000+00:00 404"]


async def test_parking_charges_no_attempt_and_counts_the_parking(rig: MakeRig) -> None:
    found = rig(ACME)
    found.admission.refusal = Parked(ParkReason.ENDPOINT_BUSY, 15)
    await found.take(FakeMessage(event()))
    (published,) = found.publisher.published
    assert (published.queue, published.headers["x-delivery-attempts"], published.headers["x-delivery-parkings"]) == (
        15,
        0,
        1,
    )


async def test_a_record_says_how_long_it_took_and_which_attempt(rig: MakeRig) -> None:
    found = rig(ACME)
    found.sender.release.clear()
    await found.take(FakeMessage(event()))
    found.clock.now += 2.5
    found.sender.release.set()
    await calm()
    (record,) = found.recorder.records
    assert (record.seconds, record.attempt, record.status) == (2.5, 1, 200)
    assert (record.instance, record.event, record.webhook) == ("acme", "messages.upsert", "default")


async def test_what_the_broker_never_takes_is_rejected_so_that_it_dead_letters_it(failing: Rig) -> None:
    failing.publisher.limit = 0
    message = FakeMessage(event())
    await failing.take(message)
    await failing.pipeline.drain(5)
    assert (message.ends, failing.publisher.tries) == (["reject"], 1)
    assert failing.recorder.outcomes == ["DeadLettered too_large_for_broker"]
    assert failing.recorder.failed_publishes == 0, "no fault of the broker's that pages somebody"


async def test_an_event_is_rejected_as_one_when_one_of_its_webhooks_fails(rig: MakeRig) -> None:
    both = rig(ACME, Webhook("acme", "http://h/other", id="other"))
    both.sender.answers["http://h/acme"] = Answered(500)
    both.publisher.limit = 0
    message = FakeMessage(event())
    await both.take(message)
    await both.pipeline.drain(5)
    assert message.ends == ["reject"]
    assert sorted(both.recorder.outcomes) == ["DeadLettered too_large_for_broker", "Delivered ok"]


async def test_where_a_reject_would_lose_it_it_is_held_and_handed_back(
    failing: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "HOLD_SECONDS", 0.001)
    failing.publisher.limit = 0
    message = FakeMessage(event(), dead_letters=False)
    await failing.take(message)
    await eventually_ended(message)
    assert message.ends == ["hand back"]
    assert failing.recorder.outcomes == ["Parked handed_back"]


async def test_a_stopping_worker_does_not_wait_for_what_is_held(failing: Rig) -> None:
    failing.publisher.limit = 0
    message = FakeMessage(event(), dead_letters=False)
    await failing.take(message)
    async with asyncio.timeout(5):
        await failing.pipeline.drain(5)
    assert message.ends == ["hand back"]


async def eventually_ended(message: FakeMessage) -> None:
    async def ends() -> list[str]:
        return message.ends

    await eventually(ends, bool, 5, "the message to be settled")

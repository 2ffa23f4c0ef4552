"""Turns that come late, faults of ours, shutdown: whatever happens, each message is settled once."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.delivery.conftest import MakeRig, calm
from tests.delivery.fakes import FakeMessage
from tests.support.events import event
from worker.broker.past_headers import headers_of, past_in
from worker.delivery import attempt, choosing
from worker.domain.choosing.subscriptions import Subscriptions, subscriptions
from worker.domain.past import Past
from worker.domain.webhook import GLOBAL_ID, Webhook

ACME = Webhook("acme", "http://h/acme")
AUDIT = Webhook("acme", "http://h/audit", id="audit")


async def test_events_that_waited_for_their_webhooks_are_not_overtaken_by_one_that_finds_them(rig: MakeRig) -> None:
    """The answer is cached before those that wait for it run again."""
    found = rig()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def find(_: str) -> Subscriptions:
        asked.set()
        await answer.wait()
        return subscriptions((ACME,))

    found.webhooks.find = find  # type: ignore[method-assign]
    for number in range(3):
        found.pipeline.take(FakeMessage(event(data=number)))
    await asked.wait()
    found.webhooks.known["acme"] = (ACME,)
    answer.set()
    found.pipeline.take(FakeMessage(event(data=3)))
    await calm()
    assert [json.loads(request.body)["data"] for request, _ in found.sender.sent] == [0, 1, 2, 3]


# A lane's turn that comes later


async def test_a_turn_after_waiting_uses_the_webhook_as_it_is_then(rig: MakeRig) -> None:
    found = rig(ACME)
    found.admission.holding = True
    message = FakeMessage(event())
    await found.take(message)
    moved = Webhook("acme", "http://h/moved")
    found.webhooks.known, found.webhooks.stored = {}, {"acme": (moved,)}
    found.admission.holding = False
    found.admission.start_next()
    await calm()
    assert (found.posted, message.ends, found.admission.running) == (["http://h/moved"], ["ack"], 0)


async def test_a_turn_after_waiting_whose_webhook_is_gone_or_unknown(rig: MakeRig) -> None:
    found = rig(ACME)
    found.admission.holding = True
    await found.take(FakeMessage(event()), FakeMessage(event(data=2)))
    found.webhooks.known.clear()
    found.admission.start_next()
    await calm()
    found.webhooks.down = True
    found.admission.start_next()
    await calm()
    assert found.recorder.outcomes == ["Parked config_unavailable", "Skipped webhook_gone"]
    assert (found.posted, found.admission.running) == ([], 0)


async def test_a_turn_after_waiting_knows_that_an_instance_has_no_webhooks_without_asking_again(rig: MakeRig) -> None:
    found = rig(global_webhook=Webhook("", "http://h/global", id=GLOBAL_ID))
    found.webhooks.known["acme"] = ()
    found.admission.holding = True
    message = FakeMessage(event())
    await found.take(message)
    found.admission.start_next()
    await calm()
    assert (found.posted, message.ends, found.webhooks.found) == (["http://h/global"], ["ack"], 0)


async def test_what_waits_when_its_connection_is_lost_is_not_posted(rig: MakeRig) -> None:
    """The broker delivers it again: a POST now would be one more repeat."""
    found = rig(ACME)
    found.admission.holding = True
    message = FakeMessage(event())
    await found.take(message)
    message.lost = True
    found.admission.start_next()
    await calm()
    assert (found.posted, found.admission.running) == ([], 0)
    assert found.recorder.outcomes == ["Parked handed_back"]


async def test_a_fault_in_a_turn_after_waiting_frees_its_place(rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rig(ACME)
    found.admission.holding = True
    message = FakeMessage(event())
    await found.take(message)
    found.webhooks.known.clear()
    monkeypatch.setattr(found.webhooks, "find", _raise)
    found.admission.start_next()
    await calm()
    assert (message.ends, found.admission.running) == (["ack"], 0)
    assert found.recorder.outcomes == ["Parked internal"]


# Faults of ours


async def test_a_fault_of_ours_is_kept_or_parked_without_a_storm_and_the_next_goes_on(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rig(ACME)
    for broken in ("cached", "find"):
        with monkeypatch.context() as patch:
            patch.setattr(found.webhooks, broken, _raise)
            message = FakeMessage(event(instance="acme" if broken == "cached" else "other"))
            await found.take(message)
            assert message.ends == ["ack"]
    assert found.recorder.outcomes == ["DeadLettered internal"] * 2
    found.recorder.records.clear()
    found.sender.answers["http://h/acme"] = RuntimeError("a fault")
    message = FakeMessage(event())
    await found.take(message)
    assert (message.ends, found.admission.running) == (["ack"], 0)
    assert found.recorder.outcomes == ["Parked internal"]
    found.sender.answers.clear()
    good = FakeMessage(event())
    await found.take(good)
    assert good.ends == ["ack"]


@pytest.mark.parametrize("broken", ["cached", "find"])
async def test_after_a_fault_of_ours_a_retry_is_still_the_one_webhooks_that_it_was_for(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """As a letter of the whole event it would come to all of them when it is redriven, those that have had it too."""
    found = rig(ACME, AUDIT)
    if broken == "find":
        found.webhooks.known.clear()
    past = Past("e" * 64, found.clock(), "evolution_exchange", "messages.upsert", "audit", attempts=3)
    message = FakeMessage(event(), headers_of(past), exchange="", routing_key="webhooks.retries")
    monkeypatch.setattr(found.webhooks, broken, _raise)
    await found.take(message)
    (letter,) = found.publisher.published
    assert past_in(letter.headers) == past
    assert (message.ends, found.recorder.started_count) == (["ack"], 0)


def _raise(*_: object) -> None:
    raise RuntimeError("a fault")


@pytest.mark.parametrize("broken", ["http://h/acme", "http://h/audit"])
async def test_a_fault_at_one_of_several_deliveries_settles_the_message_once_when_all_have_ended(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    found = rig(ACME, AUDIT)
    admit = found.admission.admit
    monkeypatch.setattr(
        found.admission, "admit", lambda way, turn: _raise() if way.webhook.url == broken else admit(way, turn)
    )
    found.sender.release.clear()
    message = FakeMessage(event())
    await found.take(message)
    assert (message.ends, found.recorder.outcomes) == ([], ["DeadLettered internal"])
    found.sender.release.set()
    await calm()
    assert (message.ends, found.recorder.outcomes) == (["ack"], ["DeadLettered internal", "Delivered ok"])
    assert found.posted == [url for url in (ACME.url, AUDIT.url) if url != broken]
    (letter,) = found.publisher.published
    assert letter.headers["x-delivery-webhook"] == ("default" if broken == ACME.url else "audit")


# Shutdown


async def test_drain_finishes_what_is_under_way(rig: MakeRig) -> None:
    found = rig(ACME)
    found.sender.release.clear()
    message = FakeMessage(event())
    await found.take(message)
    draining = asyncio.ensure_future(found.pipeline.drain(30))
    await calm()
    assert found.admission.drained
    assert not draining.done()
    found.sender.release.set()
    await draining
    assert (message.ends, found.recorder.outcomes) == (["ack"], ["Delivered ok"])


async def test_the_drain_deadline_parks_only_what_is_unfinished(rig: MakeRig) -> None:
    found = rig(ACME, AUDIT)
    found.sender.hanging.add("http://h/audit")
    message = FakeMessage(event())
    await found.take(message)
    assert message.ends == []
    await found.pipeline.drain(0.01)
    assert message.ends == ["ack"]
    assert found.recorder.outcomes == ["Delivered ok", "Parked shutdown"]
    (published,) = found.publisher.published
    assert (published.queue, published.headers["x-delivery-webhook"]) == (0, "audit")
    assert published.headers["x-delivery-attempts"] == 0
    assert found.admission.running == 0


async def test_the_drain_deadline_parks_a_turn_that_still_asks_for_its_webhook(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: str) -> None:
        await asyncio.Event().wait()

    found = rig(ACME)
    found.admission.holding = True
    message = FakeMessage(event())
    await found.take(message)
    found.webhooks.known.clear()
    monkeypatch.setattr(found.webhooks, "find", hang)
    found.admission.start_next()
    await calm()
    await found.pipeline.drain(0.01)
    assert (message.ends, found.admission.running) == (["ack"], 0)
    (published,) = found.publisher.published
    assert (published.queue, published.headers["x-delivery-webhook"]) == (0, "default")
    assert found.recorder.outcomes == ["Parked shutdown"]


@pytest.fixture
async def stuck() -> AsyncIterator[threading.Event]:
    """Threads that wait for it end with the test, before its loop waits for them."""
    event = threading.Event()
    yield event
    event.set()


CHOOSING = replace(ACME, ignore=frozenset({"groups"}))


async def test_the_drain_deadline_parks_a_large_event_that_is_being_looked_into(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, stuck: threading.Event
) -> None:
    found = rig(CHOOSING)
    monkeypatch.setattr(found.pipeline._choosing, "look", lambda *_: stuck.wait(60))
    message = FakeMessage(event(data="x" * choosing.LARGE_BYTES))
    await found.take(message)
    await found.pipeline.drain(0.01)
    assert (message.ends, found.recorder.outcomes) == (["ack"], ["Parked shutdown"])
    (published,) = found.publisher.published
    assert (published.queue, "x-delivery-webhook" in published.headers) == (0, False)


async def test_the_drain_deadline_hands_back_a_large_body_that_is_being_read(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, stuck: threading.Event
) -> None:
    found = rig(ACME)
    monkeypatch.setattr("worker.delivery.pipeline.read", lambda *_: stuck.wait(60))
    message = FakeMessage(event(data="x" * attempt.LARGE_BYTES))
    await found.take(message)
    await found.pipeline.drain(0.01)
    assert (message.ends, found.recorder.outcomes) == (["hand back"], [])


async def test_the_drain_deadline_parks_a_turn_whose_webhook_changed_and_is_being_looked_at(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, stuck: threading.Event
) -> None:
    found = rig(ACME)
    found.admission.holding = True
    message = FakeMessage(event())
    await found.take(message)
    found.webhooks.known["acme"] = (CHOOSING,)
    monkeypatch.setattr(found.pipeline._choosing, "look", lambda *_: stuck.wait(60))
    found.admission.start_next()
    await calm()
    await found.pipeline.drain(0.01)
    assert (message.ends, found.recorder.outcomes, found.admission.running) == (["ack"], ["Parked shutdown"], 0)
    (published,) = found.publisher.published
    assert (published.queue, published.headers["x-delivery-webhook"]) == (0, "default")


async def test_what_the_drain_cuts_before_its_first_step_is_settled_too(rig: MakeRig) -> None:
    found = rig(CHOOSING)
    asked, large = FakeMessage(event(instance="other")), FakeMessage(event(data="x" * attempt.LARGE_BYTES))
    looked_into = FakeMessage(event(data="x" * choosing.LARGE_BYTES))
    for message in (asked, large, looked_into):
        found.pipeline.take(message)
    await found.pipeline._reading.end()
    await calm()
    assert [message.ends for message in (asked, large, looked_into)] == [["ack"], ["hand back"], ["ack"]]
    assert found.recorder.outcomes == ["Parked shutdown"] * 2

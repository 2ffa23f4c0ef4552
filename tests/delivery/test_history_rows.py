"""What is kept of each delivery: a row an attempt, and one for each end without one that somebody may ask for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.delivery.conftest import MakeRig, Rig, calm
from tests.delivery.fakes import FakeMessage
from tests.support.events import event
from worker.broker.past_headers import headers_of
from worker.domain.event import identity
from worker.domain.history import Row
from worker.domain.outcome import Parked, ParkReason
from worker.domain.past import Past
from worker.domain.routing import delivery_id
from worker.domain.verdict import Answered, Failure, Unanswered
from worker.domain.webhook import Webhook

ACME = Webhook("acme", "http://u:p@h:81/acme?token=1")
MESSAGE = event(data={"key": {"remoteJid": "5511@s.whatsapp.net", "fromMe": False}, "pushName": "Ana"})
EVENT_ID = identity(MESSAGE, None)
ID = delivery_id(EVENT_ID, "acme", "default")


def again(found: Rig, *, parkings: int = 0, attempts: int = 0, body: bytes = MESSAGE) -> FakeMessage:
    """The message as it comes back from a delay queue."""
    past = Past(identity(body, None), found.clock.now, "evolution_exchange", "messages.upsert", "default")
    for _ in range(parkings):
        past = past.parked()
    for _ in range(attempts):
        past = past.failed(500, "the receiver answered 500", "then 500")
    return FakeMessage(body, headers_of(past), exchange="", routing_key="webhooks.retries")


def told(found: Rig) -> list[str]:
    return [f"{row.outcome} {row.reason}" for row in found.history.rows]


async def test_a_success_has_a_row_with_whom_when_and_how_long(rig: MakeRig) -> None:
    found = rig(ACME)
    found.sender.release.clear()
    await found.take(FakeMessage(MESSAGE))
    found.monotonic.now += 0.25
    found.clock.now += 0.25
    found.sender.release.set()
    await calm()
    ((request, _),) = found.sender.sent
    assert found.history.rows == [
        Row(
            at=1_795_000_000_250,
            id=ID,
            event_id=EVENT_ID,
            instance="acme",
            webhook="default",
            event="MESSAGES_UPSERT",
            chat="5511@s.whatsapp.net",
            outcome="Delivered",
            reason="ok",
            attempt=1,
            status=200,
            ms=250,
            error=None,
            answer=None,
            content_type=None,
            size=len(request.body),
            host="h:81",
        )
    ]


@pytest.mark.parametrize("failures_only", [False, True])
async def test_a_success_whose_record_nobody_wants_has_the_same_row(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, failures_only: bool
) -> None:
    whole, quick = rig(ACME), rig(ACME, failures_only=failures_only)
    monkeypatch.setattr(quick.recorder, "delivered", lambda instance, seconds: (instance, seconds) == ("acme", 0.0))
    for found in (whole, quick):
        await found.take(FakeMessage(MESSAGE))
    assert (len(whole.recorder.records), quick.recorder.records) == (1, [])
    assert quick.history.rows == ([] if failures_only else whole.history.rows)


async def test_a_failure_has_its_answer_and_the_number_of_the_attempt(rig: MakeRig) -> None:
    found = rig(ACME)
    found.sender.answers[ACME.url] = Answered(503, text="maintenance", content_type="text/plain")
    await found.take(again(found, attempts=2))
    (row,) = found.history.rows
    assert (row.outcome, row.reason, row.attempt, row.status) == ("Retried", "5xx", 3, 503)
    assert (row.error, row.answer, row.content_type) == ("the receiver answered 503", "maintenance", "text/plain")


async def test_no_answer_has_the_error_alone(rig: MakeRig) -> None:
    found = rig(ACME)
    found.sender.answers[ACME.url] = Unanswered(Failure.DNS, "h does not resolve")
    await found.take(FakeMessage(MESSAGE))
    (row,) = found.history.rows
    assert (row.reason, row.status, row.error, row.answer, row.ms) == ("dns", None, "h does not resolve", None, 0)


async def test_an_attempt_that_is_not_charged_has_its_row(rig: MakeRig) -> None:
    found = rig(ACME)
    found.sender.answers[ACME.url] = Unanswered(Failure.CONNECT, "no route")
    found.admission.not_charged = Parked(ParkReason.SELF_FAULT, 5)
    await found.take(again(found, parkings=3))
    (row,) = found.history.rows
    assert (row.outcome, row.reason, row.attempt, row.error) == ("Parked", "self_fault", 1, "no route")


async def test_an_attempt_that_the_drain_cuts_has_its_row_as_its_receiver_may_have_seen_it(rig: MakeRig) -> None:
    found = rig(ACME)
    found.sender.hanging.add(ACME.url)
    await found.take(again(found, parkings=1))
    await found.pipeline.drain(0)
    (row,) = found.history.rows
    assert (row.outcome, row.reason, row.attempt, row.status) == ("Parked", "shutdown", 1, None)
    assert row.ms == 0
    assert "cut" in str(row.error)


async def test_only_the_first_parking_has_a_row(rig: MakeRig) -> None:
    found = rig(ACME)
    found.admission.refusal = Parked(ParkReason.CIRCUIT_OPEN, 45)
    await found.take(FakeMessage(MESSAGE), again(found, parkings=1), again(found, parkings=2))
    assert told(found) == ["Parked circuit_open"]
    (row,) = found.history.rows
    assert (row.id, row.attempt, row.ms, row.size, row.host) == (ID, 0, None, len(MESSAGE), "h:81")


async def test_what_goes_back_to_the_broker_unattempted_has_none(rig: MakeRig) -> None:
    found = rig(ACME)
    await found.take(replace(FakeMessage(MESSAGE), lost=True))
    assert (told(found), found.recorder.outcomes) == ([], ["Parked handed_back"])


async def test_what_nobody_wanted_has_none(rig: MakeRig) -> None:
    found = rig(replace(ACME, events=frozenset({"QRCODE_UPDATED"})))
    await found.take(FakeMessage(MESSAGE), FakeMessage(event(instance="unknown")))
    assert found.recorder.outcomes == ["Skipped event_not_enabled", "Skipped no_webhook"]
    assert told(found) == []


async def test_what_a_replay_sent_has_one_also_where_nobody_wants_it(rig: MakeRig) -> None:
    found = rig(replace(ACME, events=frozenset({"QRCODE_UPDATED"})))
    past = Past(EVENT_ID, found.clock.now, "evolution_exchange", "messages.upsert", "default", replayed=found.clock.now)
    await found.take(FakeMessage(MESSAGE, headers_of(past), exchange="", routing_key="webhooks.retries"))
    assert [(row.outcome, row.reason, row.id) for row in found.history.rows] == [("Skipped", "event_not_enabled", ID)]


async def test_an_end_before_routing_has_the_deliverys_id(rig: MakeRig) -> None:
    found = rig(replace(ACME, enabled=False))
    await found.take(FakeMessage(MESSAGE))
    (row,) = found.history.rows
    assert (row.outcome, row.reason, row.id, row.webhook, row.host) == ("Skipped", "disabled", ID, "default", None)


async def test_what_is_no_event_has_the_events_id(rig: MakeRig) -> None:
    found = rig(ACME)
    await found.take(FakeMessage(b"no json"))
    (row,) = found.history.rows
    assert (row.id, row.instance, row.webhook, row.event, row.chat) == (f"evt_{row.event_id[:32]}", *[None] * 4)
    assert (row.outcome, row.reason, row.attempt, row.size) == ("DeadLettered", "invalid_event", 0, 7)


async def test_with_failures_only_successes_and_skips_have_none(rig: MakeRig) -> None:
    found = rig(ACME, Webhook("acme", "http://h/off", id="off", enabled=False), failures_only=True)
    found.sender.answers[ACME.url] = Answered(500)
    await found.take(FakeMessage(MESSAGE))
    found.sender.answers.clear()
    await found.take(again(found, attempts=1))
    assert told(found) == ["Retried 5xx"]


async def test_an_attempt_has_its_row_before_its_retry_is_stored(rig: MakeRig) -> None:
    """While RabbitMQ is away no retry is confirmed; a worker that is killed then has told what it did."""
    found = rig(ACME)
    found.sender.answers[ACME.url] = Answered(500)
    found.publisher.release.clear()
    await found.take(FakeMessage(MESSAGE))
    assert (told(found), found.recorder.outcomes) == (["Retried 5xx"], [])
    found.publisher.release.set()
    await asyncio.wait_for(found.pipeline.drain(5), 10)
    assert (told(found), found.recorder.outcomes) == (["Retried 5xx"], ["Retried 5xx"])


async def test_an_end_without_an_attempt_has_its_row_once_the_letter_is_stored(rig: MakeRig) -> None:
    found = rig(replace(ACME, url="no url"))
    found.publisher.release.clear()
    await found.take(FakeMessage(MESSAGE))
    assert told(found) == []
    found.publisher.release.set()
    await asyncio.wait_for(found.pipeline.drain(5), 10)
    assert told(found) == ["DeadLettered bad_url"]


async def test_an_attempt_whose_retry_is_never_stored_was_made_all_the_same(rig: MakeRig) -> None:
    """The broker delivers its event again, and the next attempt has a row of its own."""
    found = rig(ACME)
    found.sender.answers[ACME.url] = Answered(500)
    found.publisher.release.clear()
    message = FakeMessage(MESSAGE)
    await found.take(message)
    await found.settler.finished(0.01)
    assert (message.ends, found.recorder.outcomes) == (["hand back"], ["Parked handed_back"])
    assert told(found) == ["Retried 5xx"]


async def test_what_the_broker_never_takes_has_the_attempt_and_then_its_end(rig: MakeRig) -> None:
    found = rig(ACME)
    found.sender.answers[ACME.url] = Answered(503)
    found.publisher.limit = 0
    await found.take(FakeMessage(MESSAGE))
    assert told(found) == ["Retried 5xx", "DeadLettered too_large_for_broker"]
    attempt, end = found.history.rows
    assert (attempt.ms, attempt.status, end.ms, end.status) == (0, 503, None, None)
    assert (attempt.attempt, end.attempt, end.id) == (1, 1, attempt.id)


@pytest.mark.parametrize(
    ("url", "shown"), [("https://[::1]/x", "[::1]:443"), ("http://Shop.example/", "shop.example:80")]
)
async def test_the_host_is_shown_with_its_port(rig: MakeRig, url: str, shown: str) -> None:
    found = rig(replace(ACME, url=url))
    await found.take(FakeMessage(MESSAGE))
    assert [row.host for row in found.history.rows] == [shown]


async def test_a_receiver_that_echoes_the_request_tells_history_no_secret(rig: MakeRig) -> None:
    secret = "whsec_" + "A" * 43 + "="
    webhook = replace(ACME, headers=(("X-Key", "hunter2-hunter2"), ("X-Flag", "1")), secrets=(secret,))
    found = rig(webhook)
    body = MESSAGE.replace(b'"apikey":"k"', b'"apikey":"B6D711FC"')
    credentials = "Authorization: Basic dTpwYXNzd29yZA==, Bearer eyJh.bGci.x"
    echoed = f"got X-Key: hunter2-hunter2, {secret}, {credentials}, B6D711FC, 1"
    found.sender.answers[webhook.url] = Answered(500, text=echoed, content_type="text/plain")
    await found.take(FakeMessage(body))
    await calm()
    (row,) = found.history.rows
    assert row.answer == "got X-Key: ***, ***, Authorization: Basic ***, Bearer ***, ***, 1"

"""The way of one event, step by step, over fakes: every end that it can come to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as replace_past

from tests.delivery.conftest import MakeRig, Rig, calm
from tests.delivery.fakes import FakeMessage
from tests.support.events import event
from worker.broker.past_headers import headers_of, past_in
from worker.domain.event import identity
from worker.domain.outcome import Parked, ParkReason
from worker.domain.past import Past
from worker.domain.routing import delivery_id
from worker.domain.verdict import Answered, Failure, Unanswered
from worker.domain.webhook import GLOBAL_ID, Webhook

ACME = Webhook("acme", "http://h/acme")
AUDIT = Webhook("acme", "http://h/audit", id="audit")
EVERYBODYS = Webhook("", "http://h/global", id=GLOBAL_ID)


def retried(webhook_id: str | None, rig: Rig, *, age: float = 0.0, attempts: int = 0) -> FakeMessage:
    """A message as it comes back from a delay queue."""
    body = event()
    past = Past(identity(body, None), rig.clock.now - age, "evolution_exchange", "messages.upsert", webhook_id)
    for _ in range(attempts):
        past = past.failed(500, "the receiver answered 500", "then 500")
    return FakeMessage(body, headers_of(past), message_id="7", exchange="", routing_key="webhooks.retries")


# Delivered


async def test_an_event_goes_to_each_of_its_webhooks_and_is_acked_after_the_last(rig: MakeRig) -> None:
    found = rig(ACME, AUDIT, global_webhook=EVERYBODYS)
    found.sender.release.clear()
    message = FakeMessage(event())
    await found.take(message)
    assert found.posted == ["http://h/acme", "http://h/audit", "http://h/global"]
    assert message.ends == []
    found.sender.release.set()
    await calm()
    assert message.ends == ["ack"]
    assert found.recorder.outcomes == ["Delivered ok"] * 3
    assert (found.recorder.started_count, found.recorder.kinds) == (3, ["MESSAGES_UPSERT"])
    assert found.admission.running == 0


async def test_the_id_and_the_timeout_are_the_webhooks(rig: MakeRig) -> None:
    found = rig(Webhook("acme", "http://h/x", timeout_ms=1500))
    await found.take(FakeMessage(event()))
    ((request, timeout),) = found.sender.sent
    assert timeout == 1.5
    assert request.headers["webhook-id"] == delivery_id(identity(event(), None), "acme", "default")


async def test_an_instance_that_is_not_cached_is_asked_for_and_a_large_body_is_read_in_a_thread(rig: MakeRig) -> None:
    found = rig()
    found.webhooks.stored["acme"] = (ACME,)
    message = FakeMessage(event(data="x" * 300_000))
    found.pipeline.take(message)
    await found.pipeline.drain(5)
    assert (message.ends, found.recorder.outcomes) == (["ack"], ["Delivered ok"])


# Paused


@pytest.mark.parametrize("redriven", [False, True])
async def test_what_was_parked_before_its_fan_out_is_parked_for_a_webhook_that_is_paused_by_now(
    rig: MakeRig, redriven: bool
) -> None:
    """The archive may have lost it, so a resume could not bring it back."""
    found = rig(replace(ACME, paused_at=1), AUDIT)
    past = Past(identity(event(), None), found.clock.now, "evolution_exchange", "messages.upsert").parked()
    if redriven:
        past = replace_past(past, parkings=0, log=("2026-11-28T08:00:00Z redriven",))
    message = FakeMessage(event(), headers_of(past), exchange="", routing_key="webhooks.retries")
    await found.take(message)
    assert sorted(found.recorder.outcomes) == ["Delivered ok", "Parked paused"]
    kept = [past_in(published.headers) for published in found.publisher.published]
    assert [one.webhook_id for one in kept if one is not None] == ["default"]
    assert (found.posted, message.ends) == (["http://h/audit"], ["ack"])


async def test_what_comes_for_the_first_time_is_skipped_while_paused(rig: MakeRig) -> None:
    found = rig(replace(ACME, paused_at=1))
    await found.take(FakeMessage(event()))
    assert (found.recorder.outcomes, found.publisher.published) == (["Skipped paused"], [])


# Skipped


@pytest.mark.parametrize(
    ("webhooks", "reason"),
    [
        ((), "no_webhook"),
        ((Webhook("acme", "http://h/", enabled=False),), "disabled"),
        ((Webhook("acme", "http://h/", events=frozenset({"CALL"})),), "event_not_enabled"),
    ],
)
async def test_what_nobody_wants_is_acked_at_once(rig: MakeRig, webhooks: tuple[Webhook, ...], reason: str) -> None:
    found = rig(*webhooks)
    found.webhooks.known.setdefault("acme", ())
    message = FakeMessage(event())
    await found.take(message)
    assert (message.ends, found.recorder.outcomes) == (["ack"], [f"Skipped {reason}"])
    assert (found.recorder.started_count, found.posted, found.publisher.tries) == (1, [], 0)


async def test_the_copy_from_the_other_exchange_is_skipped(rig: MakeRig) -> None:
    found = rig(ACME, duplicates=True)
    copies = [FakeMessage(event(), exchange=exchange) for exchange in ("evolution_exchange", "acme")]
    await found.take(*copies)
    assert [copy.ends for copy in copies] == [["ack"], ["ack"]]
    assert found.recorder.outcomes == ["Delivered ok", "Skipped duplicate"]


# Again


async def test_only_the_failed_delivery_is_published_and_then_the_event_is_acked(rig: MakeRig) -> None:
    found = rig(ACME, AUDIT)
    found.sender.answers["http://h/audit"] = Answered(503)
    found.publisher.release.clear()
    message = FakeMessage(event())
    await found.take(message)
    assert message.ends == [], "the confirm is still to come"
    found.publisher.release.set()
    await calm()
    assert message.ends == ["ack"]
    (published,) = found.publisher.published
    assert (published.queue, published.body) == (5, message.body)
    assert published.headers["x-delivery-webhook"] == "audit"
    assert published.headers["x-delivery-attempts"] == 1
    assert published.headers["x-delivery-last-status"] == 503


async def test_a_retry_goes_to_its_one_webhook_and_counts_on(rig: MakeRig) -> None:
    found = rig(ACME, AUDIT, global_webhook=EVERYBODYS)
    found.sender.answers["http://h/audit"] = Unanswered(Failure.TIMEOUT, "no answer within 30 s")
    await found.take(retried("audit", found, attempts=1))
    ((request, _),) = found.sender.sent
    assert (request.url, request.headers["webhook-attempt"]) == ("http://h/audit", "2")
    (published,) = found.publisher.published
    assert (published.queue, published.headers["x-delivery-attempts"]) == (15, 2)
    assert found.recorder.started_count == 0, "it was counted when it was fanned out"
    assert found.pulses.events == [], "a retry is no sign of life"


async def test_an_event_that_nobody_wants_is_a_sign_of_life_too(rig: MakeRig) -> None:
    found = rig()
    found.webhooks.known["acme"] = ()
    await found.take(FakeMessage(event()), FakeMessage(event("presence.update", "shop")), FakeMessage(b"no event"))
    assert found.pulses.events[0] == ("MESSAGES_UPSERT", "acme", found.clock.now)
    assert [kind for kind, _, _ in found.pulses.events] == ["MESSAGES_UPSERT", "PRESENCE_UPDATE"]


async def test_a_failure_of_our_own_is_parked_without_charging_an_attempt(rig: MakeRig) -> None:
    found = rig(ACME)
    found.admission.not_charged = Parked(ParkReason.SELF_FAULT, 45)
    found.sender.answers["http://h/acme"] = Unanswered(Failure.DNS, "h does not resolve")
    message = FakeMessage(event())
    await found.take(message)
    (published,) = found.publisher.published
    assert (published.queue, published.headers["x-delivery-attempts"]) == (45, 0)
    assert published.headers["x-delivery-parkings"] == 1
    assert (message.ends, found.recorder.outcomes) == (["ack"], ["Parked self_fault"])


async def test_what_the_lane_refuses_or_sends_away_is_parked(rig: MakeRig) -> None:
    found = rig(ACME)
    found.admission.refusal = Parked(ParkReason.CIRCUIT_OPEN, 15)
    await found.take(FakeMessage(event()))
    found.admission.refusal, found.admission.holding = None, True
    await found.take(FakeMessage(event()))
    found.admission.turns.popleft().park(Parked(ParkReason.ENDPOINT_BUSY, 5))
    await calm()
    assert [published.queue for published in found.publisher.published] == [15, 5]
    assert found.posted == []


# While the store is down


async def test_an_unknown_event_is_parked_whole(rig: MakeRig) -> None:
    found = rig(global_webhook=EVERYBODYS)
    found.webhooks.down = True
    message = FakeMessage(event())
    await found.take(message)
    assert (message.ends, found.recorder.outcomes) == (["ack"], ["Parked config_unavailable"])
    (published,) = found.publisher.published
    assert published.queue == 5
    assert "x-delivery-webhook" not in published.headers
    assert (found.posted, found.recorder.started_count) == ([], 0)


async def test_an_unknown_event_expires_and_the_books_still_balance(rig: MakeRig) -> None:
    found = rig()
    found.webhooks.down = True
    await found.take(retried(None, found, age=90_000))
    await found.take(retried("default", found, age=90_000))
    assert found.recorder.outcomes == ["DeadLettered expired"] * 2
    assert found.recorder.started_count == 1, "the one with a webhook was counted when it was fanned out"


# Given up


async def test_what_is_no_event_is_a_dead_letter_that_says_why(rig: MakeRig) -> None:
    found = rig()
    message = FakeMessage(b'{"instance":"acme"}')
    await found.take(message)
    (published,) = found.publisher.published
    assert published.queue == "dead"
    assert (published.facts["reason"], published.facts["error"]) == ("invalid_event", "the message has no `event`")
    assert (message.ends, found.recorder.started_count) == (["ack"], 1)


@pytest.mark.parametrize(
    ("webhook", "reason"),
    [
        (Webhook("acme", "ftp://h/"), "bad_url"),
        (Webhook("acme", "http://h/", headers=(("X", "a\nb"),)), "bad_headers"),
    ],
)
async def test_what_cannot_be_sent_is_a_dead_letter(rig: MakeRig, webhook: Webhook, reason: str) -> None:
    found = rig(webhook)
    message = FakeMessage(event())
    await found.take(message)
    (published,) = found.publisher.published
    assert (published.queue, published.facts["reason"]) == ("dead", reason)
    assert (message.ends, found.admission.running) == (["ack"], 0)


async def test_a_retry_whose_webhook_is_gone_is_skipped_and_an_old_one_expires(rig: MakeRig) -> None:
    found = rig(ACME)
    await found.take(retried("deleted", found), retried("default", found, age=90_000, attempts=3))
    assert found.recorder.outcomes == ["DeadLettered expired", "Skipped webhook_gone"]
    (published,) = found.publisher.published
    assert (published.facts["reason"], published.facts["error"]) == ("expired", "the receiver answered 500")


async def test_a_410_disables_the_webhook_and_the_global_one(rig: MakeRig) -> None:
    found = rig(ACME, global_webhook=EVERYBODYS)
    found.sender.answers = {"http://h/acme": Answered(410), "http://h/global": Answered(410)}
    await found.take(FakeMessage(event()))
    assert found.recorder.outcomes == ["DeadLettered gone"] * 2
    assert found.receivers.disabled == [
        (ACME, "the receiver answered 410"),
        (EVERYBODYS, "the receiver answered 410"),
    ]
    assert found.receivers.told == ["disable at once: the receiver answered 410"] * 2


def message() -> FakeMessage:
    return FakeMessage(event("messages.upsert", "acme"))


async def test_what_is_for_webhooks_with_an_order_is_left_to_the_ordered_side_once_that_gets_everything(
    rig: MakeRig,
) -> None:
    bot, log = (
        Webhook("acme", "https://h.example/bot", order="chat"),
        Webhook("acme", "https://h.example/log", id="log"),
    )
    one = rig(bot, log)
    await one.take(message())
    assert len(one.sender.sent) == 2, "it gets not everything yet"
    one.pipeline.left_to_order.active = True
    await one.take(message())
    assert [request.url for request, _ in one.sender.sent[2:]] == ["https://h.example/log"]
    one.webhooks.known["acme"] = (replace(bot, order_next="none"),)
    await one.take(message())
    assert one.sender.sent[-1][0].url == "https://h.example/bot", "while it is switched both sides send"
    one.webhooks.known["acme"] = (bot,)
    left = message()
    await one.take(left)
    assert (left.ends, len(one.sender.sent)) == (["ack"], 4)

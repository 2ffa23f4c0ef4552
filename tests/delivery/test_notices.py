"""Notices on their way: to whom they are for, like any delivery, and never about themselves."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import orjson
import pytest

from tests.delivery.conftest import MakeRig, Rig, calm
from tests.delivery.fakes import Clock, FakeMessage, FakePublisher
from worker.broker.past_headers import headers_of, past_in
from worker.delivery.notifier import Notifier
from worker.domain.notices.notice import Kind, Notice
from worker.domain.notices.receivers import OPERATOR, operator, owner_id
from worker.domain.request.signature import signature, signing_key
from worker.domain.verdict import Answered
from worker.domain.webhook import GLOBAL_ID, Webhook

SECRET = "whsec_" + "A" * 32
ACME = Webhook("acme", "http://h/acme", enabled=False, secrets=(SECRET,), alert_url="http://owner/in")
EVERYONE = Webhook("", "http://all/", GLOBAL_ID)
OPS = operator("http://ops/in", "", "slack")
NOTICE = Notice(Kind.DISABLED, 1_795_000_000.0, "acme", "default", "answered 410")


def message(receiver: str, notice: Notice = NOTICE) -> FakeMessage:
    headers = headers_of(notice.past(receiver))
    return FakeMessage(notice.message(), headers, exchange="", routing_key="webhooks.retries", queue="webhooks.retries")


def made(rig: MakeRig, *webhooks: Webhook) -> Rig:
    return rig(*webhooks, global_webhook=EVERYONE, operators_notices=OPS)


async def test_an_owner_gets_it_signed_and_nobody_else_does(rig: MakeRig) -> None:
    r = made(rig, ACME, replace(ACME, id="other", url="http://h/other", enabled=True, alert_url="http://other/in"))
    taken = message(owner_id("default"))
    await r.take(taken)
    assert (r.posted, taken.ends) == (["http://owner/in"], ["ack"])
    request, _ = r.sender.sent[0]
    assert orjson.loads(request.body)["type"] == "webhook.disabled"
    stamp, delivery_id = request.headers["webhook-timestamp"], request.headers["webhook-id"]
    assert request.headers["webhook-signature"] == signature((signing_key(SECRET),), delivery_id, stamp, request.body)


async def test_the_operator_gets_it_in_the_form_that_was_chosen(rig: MakeRig) -> None:
    r = made(rig, ACME)
    await r.take(message(OPERATOR))
    request, _ = r.sender.sent[0]
    assert request.url == "http://ops/in"
    assert orjson.loads(request.body)["blocks"]


async def test_it_counts_as_no_event_of_evolutions(rig: MakeRig) -> None:
    r = made(rig, ACME)
    await r.take(message(OPERATOR))
    assert r.recorder.kinds == []


async def test_one_whose_receiver_is_gone_by_now_is_skipped(rig: MakeRig) -> None:
    r = made(rig, replace(ACME, alert_url=None))
    taken = message(owner_id("default"))
    await r.take(taken)
    assert (r.posted, taken.ends) == ([], ["ack"])
    assert [record.outcome.reason for record in r.recorder.records] == ["webhook_gone"]


async def test_one_that_fails_is_tried_again_with_its_id(rig: MakeRig) -> None:
    r = made(rig, ACME)
    r.sender.answers["http://owner/in"] = Answered(503)
    taken = message(owner_id("default"))
    await r.take(taken)
    (again,) = r.publisher.published
    past = past_in(again.headers)
    assert past is not None
    assert (again.queue, again.body, past.webhook_id, past.attempts) == (5, taken.body, owner_id("default"), 1)


@pytest.mark.parametrize(("receiver", "url"), [(OPERATOR, "http://ops/in"), (owner_id("default"), "http://owner/in")])
@pytest.mark.parametrize("status", [410, 503, 200])
async def test_what_its_receiver_does_disables_nobody_and_is_remembered_nowhere(
    rig: MakeRig, receiver: str, url: str, status: int
) -> None:
    r = made(rig, ACME)
    r.sender.answers[url] = Answered(status)
    await r.take(message(receiver))
    assert r.posted == [url]
    assert r.receivers.told == []


async def test_an_event_of_somebody_else_for_such_a_receiver_is_a_dead_letter(rig: MakeRig) -> None:
    r = made(rig, ACME)
    taken = message(OPERATOR)
    taken.body = b'{"event":"messages.upsert","instance":"acme","data":{"key":{}},"apikey":"secret"}'
    await r.take(taken)
    assert r.posted == []
    assert r.publisher.published[0].facts["reason"] == "invalid_event"


async def test_one_that_waited_goes_where_its_owner_hears_by_then(rig: MakeRig) -> None:
    r = made(rig, ACME)
    r.admission.holding = True
    await r.take(message(owner_id("default")), message(OPERATOR))
    r.webhooks.known["acme"] = (replace(ACME, alert_url="http://moved/in"),)
    r.admission.holding = False
    while r.admission.turns:
        r.admission.start_next()
        await calm()
    assert sorted(r.posted) == ["http://moved/in", "http://ops/in"]


def told(publisher: FakePublisher) -> list[tuple[int | str, str | None]]:
    pasts = [(published.queue, past_in(published.headers)) for published in publisher.published]
    return [(queue, past.webhook_id if past else None) for queue, past in pasts]


async def test_operator_and_owner_are_told_once_each_and_at_once() -> None:
    publisher = FakePublisher()
    notifier = Notifier(publisher, OPS, Clock())
    notifier.disabled(ACME, "answered 410")
    notifier.disabled(replace(ACME, id="other", alert_url=None), "answered 410")
    await notifier.finished(1)
    assert sorted(told(publisher)) == [(0, OPERATOR), (0, OPERATOR), (0, owner_id("default"))]
    reasons = {orjson.loads(published.body)["data"]["reason"] for published in publisher.published}
    assert reasons == {"answered 410"}


async def test_nobody_is_told_where_nobody_asked() -> None:
    publisher = FakePublisher()
    notifier = Notifier(publisher, None, Clock())
    notifier.disabled(replace(ACME, alert_url=None), "answered 410")
    await notifier.finished(1)
    assert publisher.tries == 0


async def test_a_notice_waits_for_the_broker_and_at_the_end_not_for_long(caplog: pytest.LogCaptureFixture) -> None:
    publisher = FakePublisher()
    publisher.failures = 1
    notifier = Notifier(publisher, OPS, Clock())
    notifier.disabled(replace(ACME, alert_url=None), "answered 410")
    async with asyncio.timeout(10):
        while not publisher.published:
            await calm()
            await asyncio.sleep(0.01)
    publisher.release.clear()
    notifier.disabled(replace(ACME, alert_url=None), "answered 410")
    with caplog.at_level(logging.WARNING):
        await notifier.finished(0.01)
    assert "1 notices were not taken" in caplog.text
    assert len(publisher.published) == 1

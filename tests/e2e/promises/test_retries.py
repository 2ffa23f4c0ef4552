"""Retries over the durable delay queues: their spacing, their identity, their end."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.e2e.our_sender import OurSender
from tests.proof.conformance.checks.loss import FAST, a_failure_is_tried_again
from tests.proof.conformance.stage import Stage
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.receiver import Answer, Received, Receiver
from worker.domain.webhook import Webhook

LATE_SECONDS = 1.5
"""How late an attempt may come on a busy machine; early it may not come at all."""

SECRETS = ("Bearer hunter2", "whsec_" + "QUJD" * 8, "user:hunter2", "hunter2")


def assert_schedule(attempts: list[Received]) -> None:
    """Three POSTs of one delivery, one and two seconds apart."""
    assert [attempt.header("webhook-attempt") for attempt in attempts] == ["1", "2", "3"]
    assert len({attempt.header("webhook-id") for attempt in attempts}) == 1
    assert len({attempt.body for attempt in attempts}) == 1
    first, second = (later.at - sooner.at for sooner, later in pairwise(attempts))
    assert 0.99 <= first < 1 + LATE_SECONDS
    assert 1.99 <= second < 2 + LATE_SECONDS


async def test_500_500_200_makes_three_posts_with_one_id_as_the_schedule_says(
    stage: Stage, ours: OurSender, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await a_failure_is_tried_again(stage.at(delivered=ours.delivered(2)))
    daemon = ours.daemon
    assert_schedule(receiver.at("/flaky"))
    assert len(receiver.at("/fine")) == 1, "one delivery's failure never repeats the other"
    assert await daemon.metric("deliveries_total", outcome="Retried", reason="5xx") == 2
    assert await daemon.metric("retries_published_total", delay="1") == 1
    assert await daemon.metric("retries_published_total", delay="2") == 1
    assert await daemon.metric("delivery_latency_seconds_count") == 2
    assert await daemon.metric("delivery_latency_seconds_sum") >= 3
    assert [await amqp.depth(queue) for queue in (names.events, names.retries, names.dead)] == [0, 0, 0]


async def test_one_that_always_fails_ends_in_the_dead_letters_with_its_full_past_and_no_secret(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    url = receiver.url("/down").replace("//", "//user:hunter2@")
    headers = (("Authorization", "Bearer hunter2"), ("jwt_key", "hunter2"))
    await webhooks(Webhook("acme", url, headers=headers, secrets=("whsec_" + "QUJD" * 8,)))
    receiver.answer("/down", 500, 502, 503)
    daemon = await worker(**FAST)
    body = event()
    await publish(body)
    attempts = await receiver.wait_for(3, path="/down")
    assert_schedule(attempts)
    await amqp.wait_depth(names.dead, 1)
    (letter,) = await amqp.drain(names.dead)
    found = {key.removeprefix("x-delivery-"): value for key, value in letter.headers.items()}
    assert letter.body == body
    assert (found["reason"], found["attempts"], found["last-status"]) == ("attempts_exhausted", 3, 503)
    assert (found["exchange"], found["routing-key"]) == (names.exchange, "messages.upsert")
    assert (found["instance"], found["event"], found["webhook"]) == ("acme", "messages.upsert", "default")
    assert found["id"] == attempts[0].header("webhook-id")
    assert [entry.split(" ")[1] for entry in found["log"]] == ["500", "502", "503"]
    assert found["log"] == sorted(found["log"])
    assert found["log"][-1].split(" ")[0] <= found["dead-since"]
    assert not any(secret in repr(letter.headers) for secret in SECRETS)
    assert await daemon.metric("deliveries_total", outcome="DeadLettered", reason="attempts_exhausted") == 1
    assert len(receiver.at("/down")) == 3


async def test_a_retry_uses_the_webhook_as_it_is_then(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/old")))
    receiver.always("/old", 500)
    await worker(**FAST, CACHE_TTL_SECONDS="0.1")
    await publish(event())
    await receiver.wait_for(1, path="/old")
    await webhooks(Webhook("acme", receiver.url("/new")))
    (moved,) = await receiver.wait_for(1, path="/new")
    assert (moved.header("webhook-attempt"), moved.header("webhook-id")) == (
        "2",
        receiver.at("/old")[0].header("webhook-id"),
    )
    assert moved.json()["destination"] == receiver.url("/new")


async def test_a_retry_whose_webhook_is_gone_is_skipped(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/old")), Webhook("acme", receiver.url("/stays"), id="other"))
    gone = asyncio.Event()
    receiver.answer("/old", Answer(500, release=gone))
    daemon = await worker(**FAST, CACHE_TTL_SECONDS="0.1")
    await publish(event())
    await receiver.wait_for(1, path="/old")
    deleting = await worker(arguments=("webhook", "delete", "acme", "--id", "default"), ready=False)
    assert await deleting.wait() == 0
    gone.set()
    await daemon.wait_metric("deliveries_total", 1, outcome="Skipped", reason="webhook_gone")
    assert len(receiver.at("/stays")) == 1
    assert [await amqp.depth(queue) for queue in (names.retries, names.dead)] == [0, 0]


async def test_a_delivery_that_grew_too_old_expires(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/down")))
    receiver.always("/down", 500)
    daemon = await worker(**FAST, WEBHOOK_RETRY_MAX_AGE_SECONDS="0.5")
    await publish(event())
    await daemon.wait_metric("deliveries_total", 1, outcome="DeadLettered", reason="expired")
    await amqp.wait_depth(names.dead, 1)
    (letter,) = await amqp.drain(names.dead)
    assert letter.headers["x-delivery-reason"] == "expired"
    assert len(receiver.at("/down")) == 1

"""Promises 1 to 5 of the README on the running worker. Promises 6 to 8: test_promises_input.py and
test_promises_secrets.py; promise 9: test_shutdown.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.e2e.our_sender import OurSender
from tests.proof.conformance.checks.addresses import private_addresses
from tests.proof.conformance.checks.answers import redirects
from tests.proof.conformance.checks.identity import an_event_keeps_its_id
from tests.proof.conformance.checks.isolation import others_are_served
from tests.proof.conformance.checks.loss import a_killed_sender_loses_nothing
from tests.proof.conformance.stage import Stage
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.receiver import HostileReceiver, Receiver
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.domain.webhook import Webhook

FAST = {"WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1", "WEBHOOK_RETRY_MULTIPLIER": "1"}


def heard_globally(receiver: Receiver) -> dict[str, str]:
    return {
        "WEBHOOK_GLOBAL_ENABLED": "true",
        "WEBHOOK_GLOBAL_URL": receiver.url("/global"),
        "WEBHOOK_EVENTS_MESSAGES_UPSERT": "true",
    }


async def test_promise_1_each_delivery_records_one_outcome_and_the_books_balance(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await webhooks(
        Webhook("acme", receiver.url("/ok")),
        Webhook("acme", receiver.url("/flaky"), id="flaky"),
        Webhook("off", receiver.url("/off"), enabled=False),
        Webhook("picky", receiver.url("/picky"), events=frozenset({"CALL"})),
        Webhook("wrong", receiver.url("/404")),
        Webhook("down", receiver.url("/500")),
    )
    receiver.answer("/flaky", 500)
    receiver.always("/404", 404)
    receiver.always("/500", 500)
    daemon = await worker(**FAST, **heard_globally(receiver), WEBHOOK_RETRY_MAX_ATTEMPTS="2")
    instances = ("acme", "off", "picky", "wrong", "down", "unheard-of")
    await publish(*(event(instance=instance) for instance in instances))
    await publish(event("call", "nobody"), routing_key="call")  # no webhook of its own, and not for the global one
    await publish(b"not an event")
    deliveries = 7 + 6 + 2 + 1  # own ones and acme's second, the global's, "nobody", "unheard-of" and the bad one
    wanted = {
        ("Delivered", "ok"): 2 + 6,
        ("Skipped", "disabled"): 1,
        ("Skipped", "event_not_enabled"): 1 + 1,
        ("DeadLettered", "rejected"): 1,
        ("DeadLettered", "attempts_exhausted"): 1,
        ("DeadLettered", "invalid_event"): 1,
        ("Retried", "5xx"): 2,
    }
    await daemon.wait_metric("deliveries_total", sum(wanted.values()))
    assert await _outcomes(daemon) == wanted
    ended = sum(count for (outcome, _), count in wanted.items() if outcome != "Retried")
    assert await daemon.metric("deliveries_started_total") == ended == deliveries - 2
    assert await daemon.metric("events_received_total") == 7  # a retry is no new event
    assert [await amqp.depth(queue) for queue in (names.events, names.retries, names.dead)] == [0, 0, 3]


async def _outcomes(daemon: Worker) -> dict[tuple[str, str], int]:
    found = {}
    for key, value in (await daemon.metrics()).items():
        if key.startswith("webhook_worker_deliveries_total{") and value:
            _, outcome, _, reason, _ = key.split('"')
            found[outcome, reason] = int(value)
    return found


async def test_promise_2_a_message_is_acked_only_after_all_its_deliveries_are_settled(
    stage: Stage, ours: OurSender, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    async def killed() -> None:
        await amqp.wait_depth(names.events, 1)  # the broker had it still, though one of the two had its 2xx

    await a_killed_sender_loses_nothing(
        stage.at(one_is_delivered=ours.delivered(1), killed=killed, delivered=ours.delivered(2))
    )
    assert await amqp.depth(names.events) == 0
    quick, hangs = receiver.at("/quick"), receiver.at("/hangs")
    assert len(quick) == len(hangs) == 2, "a crash repeats, it never loses"
    assert len({post.header("webhook-id") for post in quick}) == 1
    assert len({post.header("webhook-id") for post in hangs}) == 1


async def test_promise_3_the_webhook_id_names_the_event_the_instance_and_the_webhook(
    stage: Stage, ours: OurSender, webhooks: PutWebhooks, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/other"), id="other"), Webhook("beta", receiver.url("/beta")))
    await an_event_keeps_its_id(stage.at(delivered=ours.delivered(2)))
    daemon, body = ours.daemon, event()
    await daemon.wait_metric("deliveries_total", 4, outcome="Delivered")
    for exchange, key, message_id, sent in (
        (names.exchange, "messages.upsert", None, body),
        ("", names.events, None, body),
        ("", names.events, "m1", body),
        ("", names.events, "m1", event(data="a third body")),
        ("", names.events, "m2", body),
        ("", names.events, "m1", event(instance="beta")),
    ):
        await amqp.publish(exchange, key, sent, message_id=message_id)
        await eventually(lambda: daemon.metric("in_flight"), lambda running: running == 0, 15, "calm")
    await daemon.wait_metric("deliveries_total", 4 + 5 * 2 + 1, outcome="Delivered")
    acme = [post.header("webhook-id") for post in receiver.at("/acme")]
    first, retried, another, repeated, other_exchange, m1, m1_again, m2 = acme
    assert first == retried == repeated == other_exchange
    assert m1 == m1_again
    assert len({first, another, m1, m2}) == 4
    others = {post.header("webhook-id") for post in receiver.at("/other")}
    assert len(others) == 4
    assert not others & set(acme)
    (beta,) = receiver.at("/beta")
    assert beta.header("webhook-id") not in {*acme, *others}


async def test_promise_4_an_endpoint_that_never_answers_changes_nothing_for_the_others(
    stage: Stage, ours: OurSender, receiver: Receiver
) -> None:
    async def served(silent: HostileReceiver) -> None:
        assert {post.path for post in receiver.requests} == {f"/healthy-{number}" for number in range(20)}
        assert await ours.daemon.metric("attempts_total") == 20, "the silent one has answered nothing yet"
        assert silent.connections <= 20, "no more than WORKER_ENDPOINT_CONCURRENCY"
        await ours.daemon.wait_metric("deliveries_total", 1, outcome="Parked", reason="endpoint_busy")

    await others_are_served(stage.at(served=served), "silent")


async def test_a_redirect_is_not_followed_and_no_success(stage: Stage, ours: OurSender) -> None:
    await redirects(stage)
    await ours.daemon.wait_metric("deliveries_total", 5, outcome="Delivered")
    assert await ours.daemon.metric("deliveries_total", outcome="Retried", reason="3xx") == 5


async def test_an_address_that_is_not_allowed_is_not_reached_however_it_is_written(
    stage: Stage, ours: OurSender
) -> None:
    async def refused(count: int) -> None:
        await ours.daemon.wait_metric("deliveries_total", count, outcome="DeadLettered", reason="egress_refused")

    await private_addresses(stage.at(refused=refused))


async def test_promise_5_a_store_outage_neither_loses_nor_misroutes(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    amqp: Amqp,
    names: Names,
    tmp_path: Path,
) -> None:
    await webhooks(Webhook("known", receiver.url("/known")))
    daemon = await worker(**FAST, **heard_globally(receiver), CACHE_TTL_SECONDS="0.01")
    await publish(event(instance="known", data=1))
    await receiver.wait_for(2)
    await webhooks(Webhook("unknown", receiver.url("/unknown")))  # after the start, so that it was not read ahead
    async with _outage(tmp_path / "webhooks.db"):
        await publish(event(instance="unknown"))
        await daemon.wait_metric("deliveries_total", 1, outcome="Parked", reason="config_unavailable")
        await publish(event(instance="known", data=2))
        await receiver.wait_for(4)
        await daemon.wait_metric("config_lookups_total", 1, result="stale")
        assert {post.json()["instance"] for post in receiver.requests} == {"known"}, "the unknown one waits, whole"
    await receiver.wait_for(6)
    await daemon.wait_metric("deliveries_total", 6, outcome="Delivered")
    assert [post.json()["data"] for post in receiver.at("/known")] == [1, 2]
    (unknown,) = receiver.at("/unknown")
    assert [post.json()["instance"] for post in receiver.at("/global")] == ["known", "known", "unknown"]
    assert receiver.at("/global")[-1].header("webhook-attempt") == unknown.header("webhook-attempt") == "1"
    assert unknown.header("webhook-id") != receiver.at("/global")[-1].header("webhook-id")
    assert await daemon.metric("deliveries_started_total") == 6
    assert [await amqp.depth(queue) for queue in (names.events, names.retries, names.dead)] == [0, 0, 0]


@asynccontextmanager
async def _outage(database: Path) -> AsyncIterator[None]:
    """A folder in the file's place: SQLite cannot open it, whoever the user is."""
    aside = database.with_suffix(".aside")
    database.rename(aside)
    database.mkdir()
    try:
        yield
    finally:
        database.rmdir()
        aside.rename(database)

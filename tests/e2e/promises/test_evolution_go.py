"""Evolution Go through the running worker: consumed from its own queues, the bytes kept, the token dropped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PutWebhooks
from tests.support.amqp import Amqp, Names
from tests.support.captures import EVOLUTION_24, EVOLUTION_GO, load
from tests.support.receiver import Receiver
from worker.domain.evolution_go import ALL
from worker.domain.webhook import Webhook

INSTANCE = "loja go"
TOKEN = b"TOKEN-OF-THE-INSTANCE"
UUID = "8f0a3c52-6c0e-4f7e-9a55-0d9f4f0f7c11"
MESSAGES = load(EVOLUTION_GO)


@pytest.fixture
async def queues(amqp: Amqp) -> AsyncIterator[list[str]]:
    """As Evolution Go declares them; their names are its own, so that only one test at a time may have them."""
    names = sorted({message.routing_key for message in MESSAGES})
    for name in names:
        await amqp.declare_queue(name, arguments={"x-ha-policy": "all"})
    yield names
    for name in names:
        await amqp.channel.queue_delete(name)


async def publish(amqp: Amqp) -> None:
    for message in MESSAGES:
        await amqp.publish("", message.routing_key, message.body)


async def test_each_message_makes_the_posts_that_evolution_go_makes_without_the_token(
    worker: StartWorker, webhooks: PutWebhooks, receiver: Receiver, amqp: Amqp, queues: list[str]
) -> None:
    await webhooks(Webhook(INSTANCE, receiver.url("/go")))
    settings = {"WEBHOOK_GLOBAL_ENABLED": "true", "WEBHOOK_GLOBAL_URL": receiver.url("/global")}
    await publish(amqp)
    daemon = await worker(RABBITMQ_SOURCE="queues", **settings, **{f"WEBHOOK_EVENTS_{ALL}": "true"})
    wanted = Counter((post.path, post.body) for message in MESSAGES for post in message.posts)
    await daemon.wait_metric("deliveries_total", wanted.total(), outcome="Delivered")
    assert Counter((got.path, got.body) for got in receiver.requests) == wanted
    assert not [got for got in receiver.requests if TOKEN in got.body]
    assert {got.header("x-instance-id") for got in receiver.at("/go")} == {UUID}
    assert {got.header("x-instance-id") for got in receiver.at("/global")} == {None}
    sent = {got.header("x-event-type") for got in receiver.requests}
    assert sent == {json.loads(message.body)["event"] for message in MESSAGES}
    for kind in ("MESSAGE", "CALL_OFFER"):
        counted = sum(message.routing_key == kind.replace("_", "").lower() for message in MESSAGES)
        assert await daemon.metric("events_received_total", event=kind) == counted
    assert await daemon.stop() == 0
    assert [await amqp.depth(name) for name in queues] == [0] * len(queues)
    assert not [line for line in daemon.lines if TOKEN.decode() in line]


async def test_categories_choose_and_each_event_can_have_its_path(
    worker: StartWorker, webhooks: PutWebhooks, receiver: Receiver, amqp: Amqp, queues: list[str]
) -> None:
    by_group = Webhook(INSTANCE, receiver.url("/groups"), id="groups", events=frozenset({"GROUP"}), by_events=True)
    by_calls = Webhook(INSTANCE, receiver.url("/calls"), id="calls", events=frozenset({"CALL"}), by_events=True)
    await webhooks(by_group, by_calls)
    await publish(amqp)
    daemon = await worker(RABBITMQ_SOURCE="queues", WEBHOOK_FORWARD_APIKEY="true")
    await daemon.wait_metric("deliveries_total", 2 * len(MESSAGES))
    paths = Counter(got.path for got in receiver.requests)
    of_groups = [message for message in MESSAGES if b'"Chat":"120363000000000001@g.us"' in message.body]
    assert of_groups
    assert paths.pop("/groups/message") == sum(message.routing_key == "message" for message in of_groups)
    assert paths == {"/groups/group-info": 1, "/calls/call-offer": 1}
    bodies = {message.body for message in MESSAGES}
    assert all(got.body in bodies for got in receiver.requests), "forwarded whole, since that was asked for"


async def test_the_queues_of_an_instance_are_read_for_the_ids_that_are_given(
    worker: StartWorker, webhooks: PutWebhooks, receiver: Receiver, amqp: Amqp
) -> None:
    one, other = str(uuid4()), str(uuid4())
    await webhooks(Webhook(INSTANCE, receiver.url("/go")))
    queues = [f"{instance}.message" for instance in (one, other)]
    message = next(message for message in MESSAGES if message.routing_key == "message")
    try:
        for name in queues:
            await amqp.declare_queue(name, arguments={"x-ha-policy": "all"})
            await amqp.publish("", name, message.body)
        daemon = await worker(
            RABBITMQ_SOURCE="queues", RABBITMQ_PREFIX_KEY="none", RABBITMQ_INSTANCE_QUEUES=one.upper()
        )
        await daemon.wait_metric("deliveries_total", 1, outcome="Delivered")
        assert await daemon.stop() == 0
        assert [await amqp.depth(name) for name in queues] == [0, 1]
        assert [got.path for got in receiver.requests] == ["/go"]
        assert TOKEN not in receiver.requests[0].body
    finally:
        for name in queues:
            await amqp.channel.queue_delete(name)


async def test_the_events_of_2_4_make_its_posts_with_its_headers(
    worker: StartWorker, webhooks: PutWebhooks, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/acme"), by_events=True, headers=(("X-Timestamp", "forged"),)))
    daemon = await worker()
    messages = load(EVOLUTION_24)
    for message in messages:
        await amqp.publish_event(names.exchange, message.routing_key, message.body)
    await daemon.wait_metric("deliveries_total", len(messages), outcome="Delivered")
    for message in messages:
        (post,) = (post for post in message.posts if post.webhook == "instance")
        (got,) = receiver.at(post.path)
        assert got.body == post.body.replace(b"http://127.0.0.1:9100", receiver.url().encode())
        assert {name: got.header(name) for name in post.headers} == post.headers
        assert got.header("x-instance-id") == post.headers.get("X-Instance-ID")
        assert abs(int(got.header("x-timestamp") or 0) / 1000 - int(got.header("webhook-timestamp") or 0)) < 1

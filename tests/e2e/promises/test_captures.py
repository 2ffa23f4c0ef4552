"""The recorded traffic of Evolution 1.8.2 and 2.3.7 through the running worker: the same POSTs, and no others."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import jwt
import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PutWebhooks
from tests.support.amqp import Amqp, Names
from tests.support.captures import EVOLUTION_1, EVOLUTION_2, Captured, CapturedPost, load
from tests.support.receiver import Received, Receiver
from worker.domain.names import canonical
from worker.domain.webhook import Webhook

CAPTURED_AT = b"http://127.0.0.1:9100"
"""Where Evolution's own webhooks pointed when the events were recorded."""

JWT_KEY = "the key that acme shares with its receiver"
Post = tuple[str, str, bytes]
"""Path, query, body."""


@dataclass(frozen=True)
class Setup:
    """What Evolution was configured with when one capture was recorded; `own` is without its base URL."""

    own: Webhook
    own_path: str
    global_events: frozenset[str]
    settings: dict[str, str] = field(default_factory=dict)


SETUPS = {
    EVOLUTION_1: Setup(
        Webhook(
            "loja-1",
            "",
            by_events=True,
            events=frozenset({"MESSAGES_UPSERT", "MESSAGES_UPDATE", "CONTACTS_UPSERT", "CONNECTION_UPDATE"}),
        ),
        "/hook",
        frozenset({"MESSAGES_UPSERT", "MESSAGES_UPDATE", "CONTACTS_UPSERT"}),
    ),
    EVOLUTION_2: Setup(
        Webhook("acme", "", by_events=True, headers=(("X-Tenant", "acme"), ("jwt_key", JWT_KEY))),
        "/acme",
        frozenset(canonical(message.routing_key) for message in load(EVOLUTION_2)),
        {"WEBHOOK_GLOBAL_WEBHOOK_BY_EVENTS": "true"},
    ),
}


@pytest.mark.parametrize("name", SETUPS)
async def test_each_captured_message_makes_exactly_the_posts_that_evolution_made(
    name: str, worker: StartWorker, webhooks: PutWebhooks, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    setup, messages = SETUPS[name], load(name)
    await webhooks(_at(setup, receiver))
    daemon = await worker(
        WEBHOOK_GLOBAL_ENABLED="true",
        WEBHOOK_GLOBAL_URL=receiver.url("/global"),
        **{f"WEBHOOK_EVENTS_{kind}": "true" for kind in setup.global_events},
        **setup.settings,
    )
    for message in messages:
        await amqp.publish_event(names.exchange, message.routing_key, message.body)
    wanted = Counter(
        _moved(message, post, receiver, global_key_lost=name == EVOLUTION_1)
        for message in messages
        for post in message.posts
    )
    await receiver.wait_for(wanted.total())
    await daemon.wait_metric("deliveries_total", 2 * len(messages))  # own and global: delivered or skipped
    assert Counter((got.path, got.query, got.body) for got in receiver.requests) == wanted
    assert await daemon.metric("attempts_total") == wanted.total()
    for got in receiver.requests:
        _check_headers(got, setup)
    assert [await amqp.depth(queue) for queue in (names.events, names.retries, names.dead)] == [0, 0, 0]


def _at(setup: Setup, receiver: Receiver) -> Webhook:
    return Webhook(
        setup.own.instance,
        receiver.url(setup.own_path),
        by_events=setup.own.by_events,
        events=setup.own.events,
        headers=setup.own.headers,
    )


def _moved(message: Captured, post: CapturedPost, receiver: Receiver, *, global_key_lost: bool) -> Post:
    """The captured POST as this receiver must see it.

    1.8 puts its global API key into the global webhook's body; the worker has only what the event carries.
    """
    body = post.body.replace(CAPTURED_AT, receiver.url().encode())
    if global_key_lost and post.webhook == "global":
        carried, sent = (re.findall(rb'"apikey":"[^"]*"', text)[-1] for text in (message.body, body))
        body = body.replace(sent, carried)
    return post.path, post.query or "", body


def _check_headers(got: Received, setup: Setup) -> None:
    assert got.method == "POST"
    assert got.header("content-type") == "application/json"
    assert got.header("x-instance-name") == setup.own.instance
    assert got.header("webhook-attempt") == "1"
    own = not got.path.startswith("/global")
    assert got.header("x-tenant") == (dict(setup.own.headers).get("X-Tenant") if own else None)
    authorization = got.header("authorization")
    if own and setup.own.headers:
        scheme, _, token = (authorization or "").partition(" ")
        claims = jwt.decode(token, JWT_KEY, algorithms=["HS256"])
        assert (scheme, claims["exp"] - claims["iat"]) == ("Bearer", 600)
        assert (claims["app"], claims["action"]) == ("evolution", "webhook")
    else:
        assert authorization is None
    assert got.header("jwt_key") is None

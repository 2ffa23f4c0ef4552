"""The traffic of Evolution 1.8.2 and 2.3.7, recorded, and of 2.4 and Go, made from their sources.

The worker makes the POSTs that Evolution itself made.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

import jwt
import orjson
import pytest

from tests.support.captures import EVOLUTION_1, EVOLUTION_2, EVOLUTION_24, EVOLUTION_GO, Captured, CapturedPost, load
from worker.domain.event import identity, parse
from worker.domain.past import Past
from worker.domain.request.build import Request, build
from worker.domain.routing import Delivery, route
from worker.domain.webhook import GLOBAL_ID, Webhook

NOW = 1_700_000_000.25
JWT_KEY = "the key that acme shares with its receiver"
BASE = "http://127.0.0.1:9100"


@dataclass(frozen=True)
class Setup:
    """What Evolution was configured with when one capture was recorded."""

    own: Webhook
    everybodys: Webhook


SETUPS = {
    EVOLUTION_1: Setup(
        Webhook(
            "loja-1",
            f"{BASE}/hook",
            by_events=True,
            events=frozenset({"MESSAGES_UPSERT", "MESSAGES_UPDATE", "CONTACTS_UPSERT", "CONNECTION_UPDATE"}),
        ),
        Webhook(
            "",
            f"{BASE}/global",
            id=GLOBAL_ID,
            events=frozenset({"MESSAGES_UPSERT", "MESSAGES_UPDATE", "CONTACTS_UPSERT"}),
        ),
    ),
    EVOLUTION_2: Setup(
        Webhook("acme", f"{BASE}/acme", by_events=True, headers=(("X-Tenant", "acme"), ("jwt_key", JWT_KEY))),
        Webhook("", f"{BASE}/global", id=GLOBAL_ID, by_events=True),
    ),
    EVOLUTION_24: Setup(
        Webhook("acme", f"{BASE}/acme", by_events=True),
        Webhook("", f"{BASE}/global", id=GLOBAL_ID, by_events=True),
    ),
    EVOLUTION_GO: Setup(Webhook("loja go", f"{BASE}/go"), Webhook("", f"{BASE}/global", id=GLOBAL_ID)),
}
MESSAGES = [
    pytest.param(name, message, id=f"{name}-{number}-{message.routing_key}")
    for name in SETUPS
    for number, message in enumerate(load(name))
]


def requests(setup: Setup, message: Captured) -> dict[str, Request]:
    """What the worker would POST, by "instance" or "global"."""
    event = parse(message.body)
    past = Past(identity(message.body, None), NOW, message.exchange, message.routing_key)
    routed = {
        "instance": route(event, past, setup.own, [setup.own]),
        "global": route(event, past, setup.everybodys, [setup.own]),
    }
    return {who: build(found, NOW) for who, found in routed.items() if isinstance(found, Delivery)}


def without_apikey(body: bytes) -> bytes:
    values = orjson.loads(body)
    del values["apikey"]
    return orjson.dumps(values)  # keys keep their order


def assert_same(name: str, request: Request, post: CapturedPost) -> None:
    parts = urlsplit(request.url)
    assert f"{parts.scheme}://{parts.netloc}" == BASE
    assert (parts.path, parts.query or None) == (post.path, post.query)
    if name == EVOLUTION_1 and post.webhook == "global":  # 1.8 puts its global API key there, which we lack
        assert without_apikey(request.body) == without_apikey(post.body)
        assert list(orjson.loads(request.body)) == list(orjson.loads(post.body))
    else:
        assert request.body == post.body
    assert request.headers["content-type"] == "application/json"
    sent = {name.lower(): value for name, value in request.headers.items()}
    assert sent.items() >= {name.lower(): value for name, value in post.headers.items()}.items()
    assert ("X-Tenant" in request.headers) == ("X-Tenant" in post.headers)
    assert ("Authorization" in request.headers) == post.bearer_jwt


@pytest.mark.parametrize(("name", "message"), MESSAGES)
def test_the_same_posts_as_evolution(name: str, message: Captured) -> None:
    made = requests(SETUPS[name], message)
    assert set(made) == {post.webhook for post in message.posts}
    for post in message.posts:
        assert_same(name, made[post.webhook], post)


@pytest.mark.parametrize(("name", "message"), MESSAGES)
def test_the_bearer_token_verifies_with_the_jwt_key(name: str, message: Captured) -> None:
    for post in message.posts:
        if not post.bearer_jwt:
            continue
        scheme, token = requests(SETUPS[name], message)[post.webhook].headers["Authorization"].split(" ")
        assert scheme == "Bearer"
        claims = jwt.decode(token, JWT_KEY, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
        assert claims == {"iat": int(NOW), "exp": int(NOW) + 600, "app": "evolution", "action": "webhook"}


def test_the_captures_hold_what_the_contract_says() -> None:
    posts = {name: sum(len(message.posts) for message in load(name)) for name in SETUPS}
    assert posts == {EVOLUTION_1: 28, EVOLUTION_2: 14, EVOLUTION_24: 8, EVOLUTION_GO: 26}


@pytest.mark.parametrize("message", load(EVOLUTION_24), ids=lambda message: message.routing_key)
def test_the_headers_of_2_4_are_on_the_instances_own_post_alone(message: Captured) -> None:
    made = requests(SETUPS[EVOLUTION_24], message)
    [posted] = [post for post in message.posts if post.webhook == "instance"]
    assert made["instance"].headers["x-timestamp"] == "1700000000250"
    assert made["instance"].headers.get("x-instance-id") == posted.headers.get("X-Instance-ID")
    assert not {"x-timestamp", "x-instance-id"} & set(made["global"].headers)


def test_the_token_of_evolution_go_is_forwarded_only_when_that_is_asked_for() -> None:
    setup = SETUPS[EVOLUTION_GO]
    for message in load(EVOLUTION_GO):
        event = parse(message.body)
        found = route(event, Past("e", NOW, "", message.routing_key), setup.own, [setup.own])
        assert isinstance(found, Delivery)
        assert build(found, NOW, forward_apikey=True).body == message.body
        for chosen in (None, False):
            sent = build(found, NOW, forward_apikey=chosen).body
            assert b"TOKEN-OF-THE-INSTANCE" not in sent
            assert orjson.loads(sent).keys() == orjson.loads(message.body).keys() - {"instanceToken"}

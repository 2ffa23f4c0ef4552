"""The POST of one attempt: body, headers, token, signature."""

import json
import re
import time
from base64 import b64encode
from urllib.parse import unquote

import jwt
import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from tests.domain.json_documents import ANY_TEXT, members, objects
from worker.domain.event import parse
from worker.domain.past import Past
from worker.domain.request.body import body
from worker.domain.request.build import USER_AGENT, Request, build
from worker.domain.request.not_sendable import BadHeaders
from worker.domain.request.own_headers import NOT_OVERRIDABLE, OURS, header_problem, own_headers
from worker.domain.request.signature import secret_key, signature, signing_key
from worker.domain.routing import Delivery, route
from worker.domain.webhook import Webhook

NOW = 1_700_000_000.75
OLD_SECRET, NEW_SECRET = (f"whsec_{b64encode(bytes([byte] * 32)).decode()}" for byte in (1, 2))
JWT_KEY = "a key of more than thirty-two characters"
MESSAGE = b'{"event":"messages.upsert","instance":"acme","data":{"a": 1},"apikey":"TOKEN"}'


def delivery(webhook: Webhook, message: bytes = MESSAGE, attempts: int = 0) -> Delivery:
    found = route(parse(message), Past("e" * 64, NOW, "x", "k", attempts=attempts), webhook, [webhook])
    assert isinstance(found, Delivery)
    return found


def built(message: bytes = MESSAGE, now: float = NOW, attempts: int = 0, **fields: object) -> Request:
    return build(delivery(Webhook("acme", "https://h/x", **fields), message, attempts), now)  # type: ignore[arg-type]


def test_the_headers_of_a_plain_webhook() -> None:
    assert built(attempts=2).headers == {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": delivery(Webhook("acme", "https://h/x")).id,
        "webhook-timestamp": "1700000000",
        "x-instance-name": "acme",
        "x-event-type": "messages.upsert",
        "x-timestamp": "1700000000750",
        "webhook-attempt": "3",
    }


# Body


def test_the_body_has_evolutions_order_whatever_the_messages_was() -> None:
    message = (
        b'{"apikey":"T","server_url":"s","sender":"n","progress":37,"date_time":"d","data":null,"instance":"acme",'
        b'"destination":"old","event":"e","isLatest": false}'
    )
    assert built(message).body == (
        b'{"progress":37,"isLatest":false,"event":"e","instance":"acme","data":null,"destination":"https://h/x",'
        b'"date_time":"d","sender":"n","server_url":"s","apikey":"T"}'
    )


def test_a_key_that_the_message_lacks_stays_absent() -> None:
    assert built(b'{"event":"e","instance":"i"}').body == b'{"event":"e","instance":"i","destination":"https://h/x"}'


def test_the_apikey_can_be_kept_back() -> None:
    request = build(delivery(Webhook("acme", "https://h/x")), NOW, forward_apikey=False)
    assert "apikey" not in orjson.loads(request.body)
    assert b"TOKEN" not in request.body


def test_a_destination_is_escaped_as_json() -> None:
    assert orjson.loads(body(parse(MESSAGE), 'https://h/"é😀'))["destination"] == 'https://h/"é😀'
    assert json.loads(body(parse(MESSAGE), "https://h/\ud83d"))["destination"] == "https://h/\ud83d"


ENVELOPE = ("event", "instance", "data", "destination", "date_time", "sender", "server_url", "apikey")
LAST_KEYS = st.frozensets(st.sampled_from(["data", "date_time", "sender", "server_url", "apikey", "destination"]))


@given(members(), LAST_KEYS, st.data())
def test_any_event_keeps_its_values_and_has_evolutions_order(
    extra: dict[str, str], present: frozenset[str], draw: st.DataObject
) -> None:
    assume(not set(extra) & set(ENVELOPE))
    found = extra | {"event": '"messages.upsert"', "instance": '"acme"'}
    found |= {key: draw.draw(members().map(json.dumps)) for key in sorted(present)}
    order = draw.draw(st.permutations(list(found)))
    message = draw.draw(objects({key: found[key] for key in order}))

    content = built(message).body

    expected = [key for key in order if key in extra]
    expected += [key for key in ENVELOPE if key in found or key == "destination"]
    sent, received = json.loads(content), json.loads(message)
    assert list(sent) == expected
    assert sent == received | {"destination": "https://h/x"}
    fields = parse(content).fields
    for key, value in found.items():
        if key != "destination":
            assert bytes(fields[key]) == value.encode()


def test_an_attempt_that_somebody_asked_for_says_so() -> None:
    asked = build(delivery(Webhook("acme", "https://h/x")), NOW, replay=True)
    assert asked.headers == {**built().headers, "webhook-replay": "true"}


# A webhook's own headers


def test_own_headers_are_sent_as_they_are() -> None:
    request = built(headers=(("X-Tenant", "acme"), ("Authorization", "Bearer t"), ("X-C", "ç")))
    assert request.headers.items() >= {"X-Tenant": "acme", "Authorization": "Bearer t", "X-C": "ç"}.items()


@pytest.mark.parametrize("name", sorted(NOT_OVERRIDABLE - {"jwt_key"}))
@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title])
def test_own_headers_cannot_override_ours_nor_the_framing(name: str, spell: object) -> None:
    spelled = spell(name)  # type: ignore[operator]
    headers = built(headers=((spelled, "forged"),), secrets=(NEW_SECRET,), instance_id="8f0a3c52").headers
    assert "forged" not in headers.values()
    assert sum(header.lower() == name for header in headers) == (name in OURS)


def test_a_forged_instance_id_is_not_sent_where_the_real_one_is_not_known_either() -> None:
    assert "x-instance-id" not in {name.lower() for name in built(headers=(("X-Instance-Id", "forged"),)).headers}


def test_the_instance_id_of_the_event_counts_before_that_of_the_webhook() -> None:
    own = MESSAGE.replace(b'{"a": 1}', b'{"instanceId":"of-the-event"}')
    assert built(own, instance_id="of-the-webhook").headers["x-instance-id"] == "of-the-event"
    assert built(instance_id="of-the-webhook").headers["x-instance-id"] == "of-the-webhook"


@pytest.mark.parametrize("name", ["jwt_key", "JWT_KEY", "Jwt_Key"])
def test_a_jwt_key_signs_and_is_not_sent(name: str) -> None:
    headers = built(headers=((name, JWT_KEY), ("authorization", "Basic x"))).headers
    assert JWT_KEY not in headers.values()
    assert [header for header in headers if header.lower() == "authorization"] == ["Authorization"]
    token = headers["Authorization"].removeprefix("Bearer ")
    unchecked = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, JWT_KEY, algorithms=["HS256"], options=unchecked)
    assert claims == {"iat": 1_700_000_000, "exp": 1_700_000_600, "app": "evolution", "action": "webhook"}
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    assert token == jwt.encode(claims, JWT_KEY, algorithm="HS256")  # byte for byte
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, JWT_KEY + "!", algorithms=["HS256"], options=unchecked)


def test_the_token_is_fresh_for_each_attempt() -> None:
    webhook = Webhook("acme", "https://h/x", headers=(("jwt_key", JWT_KEY),))
    assert own_headers(webhook, 1) != own_headers(webhook, 2)


@pytest.mark.parametrize("key", ["k", "ключ", "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", "\ud83d"])
def test_any_jwt_key_signs(key: str) -> None:
    webhook = Webhook("acme", "https://h/x", headers=(("jwt_key", key),))
    assert header_problem(webhook) is None
    assert own_headers(webhook, 1)["Authorization"].count(".") == 2


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("", "v", "is empty or holds a character"),
        ("X Tenant", "v", "'X Tenant' is empty or holds a character"),
        ("X-Tenant:", "v", "holds a character"),
        ("X-É", "v", "holds a character"),
        ("X\r\nHost", "v", "holds a character"),
        ("X-Tenant\n", "v", "holds a character"),
        ("X-Tenant", "hidden\r\nHost: evil", "the value of header 'X-Tenant' holds a control character"),
        ("X-Tenant", "hidden\0", "control character"),
        ("X-Tenant", "hidden\x7f", "control character"),
        ("X-Tenant", "hidden\ud83d", "unpaired surrogate"),
        ("jwt_key", "", "'jwt_key' is empty"),
    ],
)
def test_headers_that_cannot_be_sent_are_named_without_their_value(name: str, value: str, problem: str) -> None:
    found = header_problem(Webhook("acme", "https://h/x", headers=(("X-Fine", "ok"), (name, value))))
    assert found is not None
    assert problem in found
    assert "hidden" not in found
    found.encode()
    with pytest.raises(BadHeaders, match="^" + re.escape(found) + "$"):
        built(headers=((name, value),))


def test_headers_that_can_be_sent() -> None:
    fine = (("X-Tenant_1.a~", "a\tb ç 😀"), ("x", ""), ("jwt_key", "two\nlines"))
    assert header_problem(Webhook("acme", "https://h/x", headers=fine)) is None


# What the headers say of the event


@given(ANY_TEXT.filter(bool), ANY_TEXT.filter(bool))
def test_names_are_percent_encoded(name: str, instance: str) -> None:
    assume((name + instance).isprintable() or not any("\ud800" <= char <= "\udfff" for char in name + instance))
    headers = built(orjson.dumps({"event": name, "instance": instance})).headers
    for header, text in (("x-event-type", name), ("x-instance-name", instance)):
        assert unquote(headers[header], errors="strict") == text
        assert headers[header].isascii()
        assert headers[header].isprintable()
        assert not set(headers[header]) & set(" /?#")


# Signature


def verify(request: Request, secret: str) -> object:
    return Verifier(secret).verify(request.body, dict(request.headers))


@pytest.fixture
def now() -> float:
    """The present: the public package refuses timestamps that are more than five minutes off."""
    return time.time()


@pytest.mark.parametrize("secrets", [(NEW_SECRET,), (NEW_SECRET, OLD_SECRET), (OLD_SECRET, NEW_SECRET)])
@pytest.mark.parametrize("data", ['{"a":"ç😀"}', r'"\ud83d"'])
def test_each_secret_verifies_with_the_public_package(secrets: tuple[str, ...], data: str, now: float) -> None:
    request = built(f'{{"event":"e","instance":"i","data":{data}}}'.encode(), now, secrets=secrets)
    assert request.headers["webhook-signature"].count("v1,") == len(secrets)
    for secret in secrets:
        assert verify(request, secret) == json.loads(request.body)


def test_a_signature_holds_for_its_own_body_id_time_and_secret(now: float) -> None:
    request = built(now=now, secrets=(NEW_SECRET,))
    headers = dict(request.headers)
    forged = [
        Request(request.target, headers, request.body + b" "),
        Request(request.target, headers | {"webhook-id": "msg_other"}, request.body),
        Request(request.target, headers | {"webhook-timestamp": str(int(now) + 1)}, request.body),
    ]
    for one in forged:
        with pytest.raises(WebhookVerificationError):
            verify(one, NEW_SECRET)
    with pytest.raises(WebhookVerificationError):
        verify(request, OLD_SECRET)


def test_the_old_secret_signs_until_its_end(now: float) -> None:
    secrets, end = (NEW_SECRET, OLD_SECRET), int(now) + 1
    verify(built(now=now, secrets=secrets, old_secret_until=end), OLD_SECRET)
    after = built(now=now, secrets=secrets, old_secret_until=int(now))
    verify(after, NEW_SECRET)
    with pytest.raises(WebhookVerificationError):
        verify(after, OLD_SECRET)


def test_a_retry_has_the_same_id_and_a_fresh_signature() -> None:
    first, second = (built(now=NOW + attempt, attempts=attempt, secrets=(NEW_SECRET,)) for attempt in (0, 1))
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert first.body == second.body


def test_the_example_of_the_standard() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert signature((signing_key(secret),), "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}') == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_without_a_secret_nothing_is_signed() -> None:
    assert "webhook-signature" not in built().headers


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_hidden!", "hidden", "whsec_hidden=\ud83d", "ключ"])
def test_a_secret_that_is_none_is_refused_without_quoting_it(secret: str) -> None:
    with pytest.raises(BadHeaders, match=r"^a signing secret must be whsec_ followed by base64$"):
        secret_key(secret)
    with pytest.raises(BadHeaders):
        built(secrets=(secret,))


def test_a_repr_shows_no_secret() -> None:
    request = built(headers=(("X-Key", "hidden"), ("jwt_key", JWT_KEY)), secrets=(NEW_SECRET,))
    assert repr(request) == "Request()"

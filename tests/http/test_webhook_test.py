"""A test event on the wire: built and signed like a delivery, and its answer shown."""

import asyncio
import base64
import json

import pytest
from standardwebhooks import Webhook as Verifier

from tests.http.egress_support import policy
from tests.support.receiver import Answer, HostileReceiver, Receiver, read_request
from worker.domain.webhook import Webhook
from worker.domain.webhook_test import KIND, WebhookTest, event_of_test
from worker.http import webhook_test
from worker.http.webhook_test import KEPT_BYTES, WebhookTester

SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
EVENT = event_of_test("acme", KIND, 1_795_000_000.0)


def sender(*allowed: str, timeout: float = 10.0) -> WebhookTester:
    return WebhookTester(policy(*(allowed or ("127.0.0.0/8",))), timeout)


async def test_it_is_signed_and_carries_the_webhooks_headers(receiver: Receiver) -> None:
    receiver.answer("/x/application-startup", Answer(202, body=b"thanks"))
    url = receiver.url("/x").replace("http://", "http://user:pass@")
    webhook = Webhook("acme", url, enabled=False, by_events=True, headers=(("X-A", "1"),), secrets=(SECRET,))
    found = await sender().send(webhook, EVENT)
    assert (found.status, found.body, found.error) == (202, b"thanks", None)
    assert found.milliseconds > 0
    (request,) = receiver.requests
    headers = {name.lower(): value for name, value in request.headers}
    assert (headers["x-a"], headers["x-instance-name"], headers["authorization"]) == ("1", "acme", "Basic dXNlcjpwYXNz")
    Verifier(SECRET).verify(request.body, headers)
    assert json.loads(request.body)["data"]["test"] is True


async def test_it_can_look_like_an_event_of_evolution_go(receiver: Receiver) -> None:
    await sender().send(Webhook("acme", receiver.url("/x"), by_events=True), event_of_test("acme", "CALL_OFFER", 0.0))
    (request,) = receiver.requests
    assert (request.path, request.header("x-event-type")) == ("/x/call-offer", "CallOffer")
    assert list(request.json()) == ["data", "event", "instanceName"]


async def test_only_the_first_bytes_of_an_answer_are_kept(receiver: Receiver) -> None:
    receiver.answer("/x", Answer(500, body=b"x" * 10 * KEPT_BYTES))
    found = await sender().send(Webhook("acme", receiver.url("/x")), EVENT)
    assert (found.status, found.body) == (500, b"x" * KEPT_BYTES)


async def test_a_redirect_is_shown_and_not_followed(receiver: Receiver) -> None:
    receiver.answer("/x", Answer(302, {"location": receiver.url("/y")}))
    assert (await sender().send(Webhook("acme", receiver.url("/x")), EVENT)).status == 302
    assert receiver.at("/y") == []


async def test_what_the_egress_rules_refuse_is_not_connected_to(receiver: Receiver) -> None:
    found = await sender("10.0.0.0/8").send(Webhook("acme", receiver.url("/x")), EVENT)
    assert found.error == "loopback address 127.0.0.1; allow it with EGRESS_ALLOW"
    assert (found.status, receiver.requests) == (None, [])


async def test_no_answer_in_time_says_so(receiver: Receiver) -> None:
    receiver.always("/x", Answer(release=asyncio.Event()))
    found = await sender().send(Webhook("acme", receiver.url("/x"), timeout_ms=20), EVENT)
    assert (found.status, found.error) == (None, "no answer within 0.02 s")


async def test_a_status_counts_whatever_becomes_of_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_test, "DRAIN_SECONDS", 0.05)

    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf")
        await reader.read()

    async with HostileReceiver(stuck) as receiver:
        found = await sender().send(Webhook("acme", receiver.url()), EVENT)
    assert (found.status, found.body) == (200, b"half")


@pytest.mark.parametrize(
    ("webhook", "words"),
    [
        (Webhook("acme", "ftp://h"), "must begin with http"),
        (Webhook("acme", "https://h.example", headers=(("a b", "c"),)), "header name"),
    ],
)
async def test_what_cannot_be_sent_says_why(webhook: Webhook, words: str) -> None:
    found = await sender().send(webhook, EVENT)
    assert isinstance(found, WebhookTest)
    assert words in (found.error or "")


async def test_a_refused_connection_names_host_and_no_credentials(closed_port: int) -> None:
    found = await sender().send(Webhook("acme", f"http://user:hunter2@127.0.0.1:{closed_port}/"), EVENT)
    assert (found.status, "127.0.0.1" in (found.error or ""), "hunter2" in (found.error or "")) == (None, True, False)


async def test_a_2xx_with_broken_headers_is_shown_as_a_delivery_takes_it() -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nno header\r\n\r\n")
        await reader.read()

    async with HostileReceiver(broken) as receiver:
        found = await sender().send(Webhook("acme", receiver.url("/x")), EVENT)
    assert (found.status, found.error) == (200, None)

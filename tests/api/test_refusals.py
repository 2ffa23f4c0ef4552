"""What is wrong with a request: every problem at once, in the caller's words; hostile bodies; HTTP's own refusals."""

import gzip
import json
from http import HTTPStatus
from typing import Any

import pytest

from tests.api.conftest import Api
from worker.api import saving
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

URL = "https://h.example/x"


async def problems(api: Api, body: Any, path: str = "/webhook/set/acme") -> list[str]:
    found = await api.call("POST", path, body)
    assert (found.status, found.json["status"], found.json["error"]) == (400, 400, "Bad Request")
    assert api.changes == []
    (lines,) = found.json["response"]["message"]
    return [str(line) for line in lines]


async def test_all_problems_come_in_one_answer_in_the_callers_spelling(api: Api) -> None:
    inner = {"enabled": "yes", "url": "ftp://h", "byEvents": None, "events": ["MESAGES_UPSERT", "CALL"], "timeoutMs": 0}
    assert await problems(api, {"webhook": {**inner, "base64": 1, "rate_limit": {"per_minute": 2}}}) == [
        "webhook.url: must begin with http:// or https://",
        "webhook.enabled: Input should be a valid boolean, not 'yes'",
        "webhook.events[0]: 'MESAGES_UPSERT' is not an event; the nearest is MESSAGES_UPSERT",
        "webhook.byEvents: Input should be a valid boolean, not null",
        "webhook.base64: Input should be a valid boolean, not 1",
        "webhook.timeoutMs: Input should be greater than or equal to 1, not 0",
        "webhook.rate_limit.per_second: is required",
        "webhook.rate_limit.per_minute: is not a field of a webhook",
    ]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "url: is required"),
        ({"webhook": {}}, "webhook.url: is required"),
        ({"webhook": URL}, "webhook: must be an object with the webhook's fields"),
        ({"url": 5}, "url: Input should be a valid string"),
        ({"url": URL, "webhookByEvents": 1}, "webhookByEvents: Input should be a valid boolean, not 1"),
        ({"url": URL, "webhook_by_event": True}, "webhook_by_event: is not a field; the nearest is webhook_by_events"),
        ({"url": URL, "WebhookByEvents": True}, "WebhookByEvents: is not a field; the nearest is webhookByEvents"),
        ({"url": URL, "webhok": {}}, "webhok: is not a field; the nearest is webhook"),
        ({"webhook": {"url": URL}, "events": []}, "events: belongs into `webhook`"),
        ({"url": URL, "byEvents": True, "webhook_by_events": False}, "webhook_by_events: contradicts byEvents"),
        ({"url": URL, "id": "global"}, "id: 'global' is reserved"),
        ({"url": URL, "id": ["a"]}, "id: Input should be a valid string"),
        ({"url": URL, "events": "CALL"}, "events: Input should be a valid list"),
        ({"url": URL, "events": [["CALL"]]}, "events[0]: Input should be a valid string"),
        ({"url": URL, "headers": {"X": "a\r\nb"}}, "headers: the value of header 'X' holds a control character"),
        ({"url": URL, "headers": ["X"]}, "headers: Input should be a valid dictionary"),
        ({"url": URL, "secret": "hunter2"}, "secret[0]: must be whsec_"),
        ({"url": URL, "secret": {"a": 1}}, "secret: Input should be a valid list"),
        ({"url": URL, "secrets": ["whsec_x"]}, "secrets: cannot be set: give `secret`"),
        ({"url": "https://h.example/\ud83d"}, "url: Input should be a valid string"),
        ({"url": URL, "headers": {"X": "\ud83d"}}, "headers.X: holds an unpaired surrogate"),
        ({"url": URL, "instance": "\ud83d"}, "instance: contradicts the path"),
        ({"url": URL, "\ud83d_url": 1, "enable": True}, "enable: is not a field; the nearest is enabled"),
        ({"url": URL, "concurrency": 10**40}, "concurrency: "),
        ({"url": URL, "rate_limit": {"per_second": 0.0}}, "rate_limit.per_second: "),
    ],
)
async def test_each_problem_names_its_field(api: Api, body: Any, problem: str) -> None:
    assert [line for line in await problems(api, body) if line.startswith(problem)]


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 256, "\ud83d", 5, None, ["acme"], "a\nb"])
async def test_an_instance_that_cannot_be_is_refused(api: Api, name: Any) -> None:
    found = await problems(api, {"instance": name, "enabled": True, "url": URL}, "/webhook/instance")
    assert [line for line in found if line.startswith("instance: ")]


@pytest.mark.parametrize("path", ["a%00b", "%0A", "x" * 256])
async def test_an_instance_that_cannot_be_is_refused_in_the_path_too(api: Api, path: str) -> None:
    (line,) = await problems(api, {"url": URL}, f"/webhook/set/{path}")
    assert "path" in line or line.startswith("the path: ")
    assert (await api.find(path)).json["enabled"] is False
    assert (await api.call("DELETE", f"/webhook/{path}")).status == 404
    assert (await api.call("POST", f"/webhook/test/{path}")).status == 404


async def test_what_the_egress_rules_refuse_is_refused_here_with_the_setting(api: Api, store: SqlStore) -> None:
    assert await problems(api, {"webhook": {"url": "http://127.0.0.1:1/", "enabled": True}}) == [
        "webhook.url: is refused by the egress rules: loopback address 127.0.0.1; allow it with EGRESS_ALLOW"
    ]
    first, second = await problems(api, {"url": "http://db.internal/", "timeout_ms": 0})
    assert first.startswith("timeout_ms: ")
    assert second == "url: is refused by the egress rules: private address 10.1.2.3; allow it with EGRESS_ALLOW"
    await store.put(Webhook("acme", "http://db.internal/"))
    assert (await api.set("acme", {"url": "http://db.internal/", "enabled": False})).status == 201


async def test_the_address_of_notices_is_judged_as_the_urls_own_and_of_a_disabled_webhook_too(
    api: Api, store: SqlStore
) -> None:
    refused = "alertUrl: is refused by the egress rules: private address 10.1.2.3; allow it with EGRESS_ALLOW"
    for enabled in (True, False):
        body = {"url": "http://public.example/", "enabled": enabled, "alertUrl": "http://db.internal/"}
        assert await problems(api, body) == [refused]
    assert await problems(api, {"url": "http://public.example/", "alertUrl": "ftp://h"}) == [
        "alertUrl: must begin with http:// or https://"
    ]
    body = {"url": "http://public.example/", "alertUrl": "https://user:word@public.example/in?key=1"}
    assert (await api.set("acme", body)).status == 201
    assert "word" not in (await api.find("acme")).text
    body = {"url": "http://public.example/", "alertUrl": "https://***@public.example/in?key=1"}
    assert (await api.set("acme", body)).status == 201
    (stored,) = await store.load("acme")
    assert stored.alert_url == "https://user:word@public.example/in?key=1"
    assert (await api.set("acme", {"url": "http://public.example/", "alertUrl": ""})).status == 201
    (stored,) = await store.load("acme")
    assert stored.alert_url is None


async def test_a_name_that_does_not_resolve_in_time_is_left_to_the_delivery(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "EGRESS_SECONDS", 0.01)
    assert (await api.set("acme", {"url": "http://dns.hangs/"})).status == 201


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "line 1 column 1"),
        (b'{"url": "x",\n "enabled": tru}', "line 2 column 13"),
        (b'{"url": "x"} {}', "line 1 column 14"),
        (b'{"url": "a", "url": "b"}', "the key 'url' twice"),
        (b'{"webhook": {"url": "a", "url": "b"}}', "the key 'url' twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"filter": {"$or": [{"data.n": NaN}]}}', "filter.$or[0].data.n: holds NaN, which is not JSON"),
        (b'{"filter": {"data.a": 1, "data.a": 2}}', "filter.data.a: says the key 'data.a' twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"url": "\xff"}', "not UTF-8: byte 10 is 0xff"),
        (b"\xef\xbb\xbf{}", "line 1 column 1"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"{" + b",".join(b'"k%d":0' % n for n in range(100_000))[:900_000].rpartition(b",")[0] + b"}", "200 at most"),
        (b"[]", "must be a JSON object, not an array"),
        (b"null", "must be a JSON object, not null"),
        (b"1.5", "must be a JSON object, not a number"),
        ('{"url": "x"}'.encode("utf-16"), "not UTF-8"),
    ],
)
async def test_a_body_that_is_no_json_object_says_where(api: Api, raw: bytes, words: str) -> None:
    found = await api.call("POST", "/webhook/set/acme", raw=raw)
    assert found.status == 400
    assert words in found.json["response"]["message"][0][0]


@pytest.mark.parametrize("raw", [b'{"url": "x", "a\x00b": 1}', b'{"a": "' + b"x" * 3 + b'\x01"}'])
async def test_control_characters_are_no_json(api: Api, raw: bytes) -> None:
    assert (await api.call("POST", "/webhook/set/acme", raw=raw)).status == 400


async def test_nul_within_values_is_refused_by_field(api: Api) -> None:
    assert len(await problems(api, {"url": "http://h/\0", "headers": {"X": "\0"}, "id": "\0"})) == 3


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json",
     "application/json; charset=utf-16", "application/jsonx"],
)  # fmt: skip
async def test_another_content_type_is_415(api: Api, content_type: str) -> None:
    found = await api.call("POST", "/webhook/set/acme", raw=b'{"url": "http://h.example"}', content_type=content_type)
    assert found.status == 415
    assert "application/json" in found.json["response"]["message"][0]


async def test_json_with_a_charset_is_taken(api: Api) -> None:
    raw = json.dumps({"url": URL}).encode()
    found = await api.call("POST", "/webhook/set/acme", raw=raw, content_type="Application/JSON; charset=UTF-8")
    assert found.status == 201


async def test_more_than_a_mebibyte_is_413_packed_or_not(api: Api) -> None:
    fits = json.dumps({"url": URL, "x": ""}).encode()
    exact = fits[:-2] + b"x" * (1024 * 1024 - len(fits)) + fits[-2:]
    assert (await api.call("POST", "/webhook/set/acme", raw=exact)).status == 201
    found = await api.call("POST", "/webhook/set/acme", raw=exact + b" ")
    assert (found.status, found.json["error"]) == (413, HTTPStatus(413).phrase)
    bomb = gzip.compress(b" " * 50_000_000)
    url, headers = api.base + "/webhook/set/acme", {"content-type": "application/json", "content-encoding": "gzip"}
    headers["apikey"] = "B6D711FC-DE4D-4FD5-9365-44120E713976"
    async with api.session.post(url, data=bomb, headers=headers) as response:
        assert response.status == 413


@pytest.mark.parametrize("path", ["/", "/nope", "/webhook/", "/webhook/find", "/webhook/find/", "/webhook/find/a/b",
                                  "/Webhook", "/webhook/find/a//"])  # fmt: skip
async def test_an_unknown_path_is_404(api: Api, path: str) -> None:
    found = await api.call("GET", path)
    assert found.status in {404, 405}
    assert found.json["status"] == found.status


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/webhook/set/a", "POST"), ("DELETE", "/webhook/find/a", "GET, HEAD"), ("PUT", "/webhook", "GET, HEAD"),
     ("GET", "/webhook/instance", "DELETE, POST"), ("POST", "/openapi.json", "GET, HEAD"),
     ("TRACE", "/docs", "GET, HEAD")],
)  # fmt: skip
async def test_a_wrong_method_is_405_and_names_the_right_ones(api: Api, method: str, path: str, allowed: str) -> None:
    found = await api.call(method, path)
    assert (found.status, found.headers["Allow"]) == (405, allowed)
    assert allowed in found.json["response"]["message"][0]


@pytest.mark.parametrize("path", ["/webhook/find/%FF", "/webhook/find/%ED%A0%BD", "/webhook/set/%C3"])
async def test_a_path_that_is_not_utf8_names_nothing(api: Api, path: str) -> None:
    found = await api.call("GET", path)
    assert (found.status, found.json["response"]["message"]) == (400, [["the URL is not percent-encoded UTF-8"]])


@pytest.mark.parametrize("query", ["?id=%FF", "?id=%00", "?id=%ED%A0%BD", "?id=", "?id=a%20b"])
async def test_an_id_that_cannot_be_is_refused(api: Api, query: str) -> None:
    assert (await api.set("acme", {"url": URL}, query)).status == 400
    assert (await api.call("DELETE", f"/webhook/acme{query}")).status in {400, 404}
    assert (await api.find("acme", query)).status in {200, 400, 404}

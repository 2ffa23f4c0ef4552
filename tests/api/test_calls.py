"""Every call, with the bodies of Evolution's documents, on a real store."""

import json

import pytest

from tests.api.conftest import KEY, Api, MakeApi
from worker.configuration.port import StoreUnavailable
from worker.domain.request import secret_key
from worker.domain.trial import Trial
from worker.domain.webhook import RateLimit, Webhook
from worker.webhooks.sql import SqlStore

URL = "https://h.example/x"
V1 = {"enabled": True, "url": URL, "webhook_by_events": False, "webhook_base64": False, "events": ["MESSAGES_UPSERT"]}
V20 = {"enabled": True, "url": URL, "webhookByEvents": False, "webhookBase64": False, "events": ["MESSAGES_UPSERT"]}
V21 = {
    "webhook": {
        "enabled": True,
        "url": URL,
        "headers": {"Authorization": "Bearer t"},
        "byEvents": False,
        "base64": False,
        "events": [],
    }
}
V2_ANSWER = {
    "id": "default",
    "url": URL,
    "headers": {},
    "enabled": True,
    "events": ["MESSAGES_UPSERT"],
    "webhookByEvents": False,
    "webhookBase64": False,
    "createdAt": "2026-11-18T11:06:40.123Z",
    "updatedAt": "2026-11-18T11:06:40.123Z",
    "instanceId": "acme",
}
V1_ANSWER = {"enabled": True, "url": URL, "webhook_by_events": False, "events": ["MESSAGES_UPSERT"]}


async def test_set_of_1x_is_answered_in_its_envelope(api: Api) -> None:
    found = await api.set("acme", V1)
    assert found.status == 201
    assert found.json == {"webhook": {"instanceName": "acme", "webhook": V1_ANSWER}}
    assert api.changes == [("acme", 1)]


async def test_set_of_2_0_is_answered_with_its_object(api: Api) -> None:
    found = await api.set("acme", V20)
    assert found.status == 201
    assert found.json.items() >= V2_ANSWER.items()


async def test_set_of_2_1_is_answered_with_its_object_and_headers_are_masked(api: Api, store: SqlStore) -> None:
    found = await api.set("acme", V21)
    assert found.status == 201
    assert found.json.items() >= {**V2_ANSWER, "events": [], "headers": {"Authorization": "***"}}.items()
    assert await store.load("acme") == (Webhook("acme", URL, headers=(("Authorization", "Bearer t"),)),)


@pytest.mark.parametrize("body", [V1, V20, V21])
async def test_find_can_be_read_by_clients_of_both_versions(api: Api, body: dict[str, object]) -> None:
    await api.set("acme", body)
    found = await api.find("acme")
    assert found.status == 200
    assert {*V2_ANSWER, *V1} <= found.json.keys()
    assert (found.json["url"], found.json["enabled"], found.json["webhook_by_events"]) == (URL, True, False)


@pytest.mark.parametrize("body", [V1, V20, V21, {**V1, "events": None, "id": "b", "timeout_ms": 5, "secret": None}])
async def test_what_find_answers_can_be_set_again(api: Api, store: SqlStore, body: dict[str, object]) -> None:
    await api.set("acme", body)
    before = await store.load("acme")
    query = f"?id={body['id']}" if "id" in body else ""
    found = (await api.find("acme", query)).json
    assert (await api.set("acme", found)).status == 201
    assert (await api.set("acme", {"webhook": found})).status == 201
    assert await store.load("acme") == before


async def test_nothing_set_is_an_object_that_says_so(api: Api) -> None:
    found = await api.find("nobody")
    assert found.status == 200
    assert found.json.items() >= {"enabled": False, "url": "", "events": [], "webhook_by_events": False}.items()
    assert (found.json["createdAt"], found.json["updatedAt"]) == (None, None)


@pytest.mark.parametrize("name", ["instance", "instanceName"])
async def test_the_instance_may_be_named_in_the_body(api: Api, store: SqlStore, name: str) -> None:
    found = await api.call("POST", "/webhook/instance", {**V1, name: "acme"})
    assert (found.status, found.json) == (201, {"webhook": {"instanceName": "acme", "webhook": V1_ANSWER}})
    assert (await api.call("POST", "/webhook/instance", {**V21, name: "beta"})).json["instanceId"] == "beta"
    assert await store.load("acme") == (Webhook("acme", URL, events=frozenset({"MESSAGES_UPSERT"})),)


async def test_enabled_is_required_where_the_document_says_so_and_true_elsewhere(api: Api) -> None:
    found = await api.call("POST", "/webhook/instance", {"instance": "acme", "url": URL})
    assert (found.status, found.json["response"]["message"]) == (400, [["enabled: is required"]])
    assert (await api.set("acme", {"url": URL})).json["webhook"]["webhook"]["enabled"] is True
    found = await api.call("POST", "/webhook/instance", {"instance": "acme", "webhook": {"url": URL}})
    assert found.json["response"]["message"] == [["webhook.enabled: is required"]]


async def test_disabling_keeps_the_row_and_its_url_without_events(api: Api, store: SqlStore) -> None:
    await api.set("acme", V1)
    assert (await api.set("acme", {"enabled": False, "url": "", "events": ["CALL"]})).status == 201
    assert await store.load("acme") == (Webhook("acme", URL, enabled=False),)
    assert (await api.set("acme", {"webhook": {"enabled": False}})).status == 201


async def test_empty_or_absent_events_mean_all(api: Api, store: SqlStore) -> None:
    await api.set("acme", V1)
    await api.set("acme", {"url": URL})
    assert (await store.load("acme"))[0].events == frozenset()


async def test_left_out_flags_stay_in_the_nested_form_and_are_false_in_the_flat_ones(api: Api, store: SqlStore) -> None:
    await api.set("acme", {**V1, "webhook_by_events": True})
    await api.set("acme", {"webhook": {"enabled": True, "url": URL}})
    assert (await store.load("acme"))[0].by_events
    await api.set("acme", {"url": URL})
    assert not (await store.load("acme"))[0].by_events


async def test_our_own_fields_are_taken_in_every_dialect_kept_when_left_out_and_reset_by_null(
    api: Api, store: SqlStore
) -> None:
    ours = {
        "headers": {"X": "y"},
        "secret": "whsec_" + "A" * 43 + "=",
        "timeout_ms": 5,
        "concurrency": 6,
        "rate_limit": {"per_second": 7, "burst": 8},
    }
    expected = Webhook(
        "acme",
        URL,
        headers=(("X", "y"),),
        secrets=("whsec_" + "A" * 43 + "=",),
        timeout_ms=5,
        concurrency=6,
        rate_limit=RateLimit(7, 8),
    )
    for body in ({"url": URL, **ours}, {"webhook": {"enabled": True, "url": URL, **ours}}, {"url": URL}):
        assert (await api.set("acme", body)).status == 201
        assert await store.load("acme") == (expected,)
    await api.set("acme", {"url": URL, **dict.fromkeys(ours)})
    assert await store.load("acme") == (Webhook("acme", URL),)


async def test_several_webhooks_by_id_in_body_or_query(api: Api, store: SqlStore) -> None:
    await api.set("acme", V1)
    await api.set("acme", {"url": URL + "/a", "id": "audit"})
    await api.set("acme", {"webhook": {"url": URL + "/b", "enabled": True}}, "?id=backup")
    assert [found.id for found in await store.load("acme")] == ["audit", "backup", "default"]
    assert (await api.find("acme")).json["url"] == URL
    assert (await api.find("acme", "?id=audit")).json["url"] == URL + "/a"
    assert (await api.find("acme", "?id=none")).status == 404
    found = await api.set("acme", {"url": URL, "id": "audit"}, "?id=backup")
    assert found.json["response"]["message"] == [["id: contradicts the query: give one of the two"]]


async def test_list_pages_through_everything(api: Api, store: SqlStore) -> None:
    for number in range(5):
        await store.put(Webhook(f"i{number}", URL))
    seen, cursor = [], ""
    while cursor is not None:
        found = (await api.call("GET", f"/webhook?limit=2{cursor and '&after=' + cursor}")).json
        seen += [item["instance"] for item in found["webhooks"]]
        assert len(found["webhooks"]) <= 2
        cursor = found["after"]
    assert seen == [f"i{number}" for number in range(5)]
    found = (await api.call("GET", "/webhook?instance=i3")).json
    assert [item["instance"] for item in found["webhooks"]] == ["i3"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "limit=00000009999", "after=x", "after=W10=", "after=WyJcdWQ4M2QiLCJ4Il0="],
)
async def test_list_refuses_what_it_cannot_read(api: Api, query: str) -> None:
    found = await api.call("GET", f"/webhook?{query}")
    assert found.status == 400
    assert query.partition("=")[0] in found.text


async def test_delete_takes_the_default_one_another_or_all(api: Api, store: SqlStore) -> None:
    for name in ("default", "a", "b", "c"):
        await store.put(Webhook("acme", URL, id=name))
    found = await api.call("DELETE", "/webhook/acme")
    assert (found.status, found.json) == (200, {"deleted": 1, "remaining": ["a", "b", "c"]})
    assert api.changes == [("acme", 5)]
    assert (await api.call("DELETE", "/webhook/acme?id=a")).json == {"deleted": 1, "remaining": ["b", "c"]}
    assert (await api.call("DELETE", "/webhook/acme?id=*")).json == {"deleted": 2, "remaining": []}
    found = await api.call("DELETE", "/webhook/acme?id=*")
    assert (found.status, found.json["response"]["message"]) == (404, ["The 'acme' instance has no webhook"])
    assert len(api.changes) == 3


async def test_a_test_event_goes_out_and_the_answer_is_shown(api: Api, store: SqlStore) -> None:
    await store.put(Webhook("acme", "https://u:p@h.example/x", secrets=("whsec_" + "A" * 43 + "=",)))
    found = await api.call("POST", "/webhook/test/acme")
    assert found.status == 200
    assert found.json == {
        "instance": "acme", "id": "default", "url": "https://***@h.example/x", "event": "APPLICATION_STARTUP",
        "signed": True, "ok": True, "status": 200, "milliseconds": 12.3, "body": "thanks", "error": None,
    }  # fmt: skip
    ((webhook, event),) = api.sent
    assert webhook.id == "default"
    parsed = json.loads(event)
    assert (parsed["event"], parsed["instance"], parsed["data"]["test"]) == ("application.startup", "acme", True)


async def test_a_test_names_its_event_and_tells_a_failure(api: Api, store: SqlStore) -> None:
    await store.put(Webhook("acme", URL, id="b"))
    api.trial = Trial(None, 3.0, error="h.example does not resolve")
    found = await api.call("POST", "/webhook/test/acme", {"event": "messages.upsert", "id": "b"})
    assert (found.json["ok"], found.json["status"], found.json["error"]) == (False, None, "h.example does not resolve")
    assert json.loads(api.sent[0][1])["event"] == "messages.upsert"
    assert (await api.call("POST", "/webhook/test/acme")).status == 404
    assert (await api.call("POST", "/webhook/test/acme", {"event": "NOPE"})).status == 400
    assert (await api.call("POST", "/webhook/test/acme", {"id": 5})).status == 400


async def test_a_generated_secret_is_shown_once(api: Api, store: SqlStore) -> None:
    for body in ({"url": URL, "secret": "generate"}, {"webhook": {"url": URL, "secret": "generate"}}):
        secret = (await api.set("acme", body)).json["secret"]
        assert len(secret_key(secret)) == 32
        assert (await store.load("acme"))[0].secrets == (secret,)
        assert secret not in (await api.find("acme")).text + (await api.set("acme", {"url": URL})).text
    assert (await api.find("acme")).json["secrets"] == 1


async def test_no_answer_shows_header_values_secrets_or_url_credentials(api: Api) -> None:
    secret = "whsec_" + "Q" * 43 + "="
    body = {"url": "https://user:hunter2@h.example/", "headers": {"X-Key": "hunter2"}, "secret": secret}
    texts = [(await api.set("acme", body)).text, (await api.set("acme", {"webhook": body})).text]
    texts += [(await api.find("acme")).text, (await api.call("GET", "/webhook")).text]
    texts += [(await api.call("POST", "/webhook/test/acme")).text]
    texts += [(await api.set("acme", {**body, "events": ["X"], "secret": ["hunter2"], "timeout_ms": 0})).text]
    assert not [text for text in texts if "hunter2" in text or secret in text]


async def test_a_mask_sent_back_stands_for_what_is_stored(api: Api, store: SqlStore) -> None:
    await api.set("acme", {"url": "https://u:p@h.example/", "headers": {"A": "1", "B": "2"}})
    sent = {"url": "https://***@h.example/", "headers": {"A": "***", "B": "3"}}
    assert (await api.set("acme", sent)).status == 201
    (webhook,) = await store.load("acme")
    assert (webhook.url, webhook.headers) == ("https://u:p@h.example/", (("A", "1"), ("B", "3")))
    found = await api.set("acme", {"webhook": {"url": "https://***@other.example/", "headers": {"C": "***"}}})
    assert found.status == 400
    first, second = found.json["response"]["message"][0]
    assert first.startswith("webhook.headers.C: ")
    assert second.startswith("webhook.url: ")


async def test_base64_and_headers_that_are_not_taken_are_warned_of(api: Api) -> None:
    found = await api.set("acme", {**V1, "webhook_base64": True, "headers": {"Content-Type": "x"}, "colour": "red"})
    assert found.status == 201
    unknown, ignored, base64 = found.json["warnings"]
    assert "colour" in unknown
    assert "Content-Type" in ignored
    assert "webhook_base64" in base64


@pytest.mark.parametrize(
    ("path", "name"),
    [("a%20b", "a b"), ("a.b", "a.b"), ("a%2Fb%2F..%2Fc", "a/b/../c"), ("%2e%2e", ".."), ("%F0%9F%98%80", "😀"),
     ("100%25", "100%"), ("a%252Fb", "a%2Fb"), ("a+b", "a+b"), ("%7B%7D", "{}"), ("caf%C3%A9", "café"),
     ("a%3Fb%23c", "a?b#c"), ("instance", "instance"), ("set", "set"), ("a;b=c", "a;b=c"),
     ("%C3%BF" * 255, "ÿ" * 255), ("%5C", "\\")],
)  # fmt: skip
async def test_instance_names_hold_any_character(api: Api, store: SqlStore, path: str, name: str) -> None:
    assert (await api.set(path, V1)).json["webhook"]["instanceName"] == name
    assert [found.instance for found in await store.load(name)] == [name]
    assert (await api.find(path)).json["instance"] == name
    assert (await api.call("DELETE", f"/webhook/{path}")).status == 200
    assert (await api.call("POST", "/webhook/instance", {**V1, "instance": name})).status == 201
    assert [found.instance for found in await store.load(name)] == [name]


async def test_an_instance_in_the_query_overrides_nothing(api: Api, store: SqlStore) -> None:
    await api.set("acme", V1, "?instance=beta&instanceName=beta")
    assert (await store.load("acme"), await store.load("beta")) != ((), ())
    assert await store.load("beta") == ()
    assert (await api.find("beta", "?instance=acme")).json["enabled"] is False
    found = await api.set("acme", {**V1, "instanceName": "beta"})
    assert found.json["response"]["message"] == [["instanceName: contradicts the path: give one of the two"]]


async def test_the_documents_are_open_and_complete(api: Api) -> None:
    found = await api.call("GET", "/openapi.json", key=None)
    assert (found.status, found.json["openapi"]) == (200, "3.1.0")
    page = await api.call("GET", "/docs", key=None)
    assert page.status == 200
    assert all(path in page.text for path in found.json["paths"])
    assert "src=" not in page.text
    assert 'href="http' not in page.text


async def test_the_head_of_a_page_is_answered_too(api: Api) -> None:
    assert (await api.call("HEAD", "/docs", key=None)).status == 200


class Down:
    """A store that cannot answer."""

    def __getattr__(self, name: str) -> object:
        async def fail(*_: object) -> None:
            raise StoreUnavailable("DATABASE_CONNECTION_URI postgresql://db/evolution: down")

        return fail


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/webhook/set/a"), ("GET", "/webhook/find/a"), ("GET", "/webhook"), ("DELETE", "/webhook/a"),
     ("POST", "/webhook/test/a")],
)  # fmt: skip
async def test_a_store_outage_is_503_with_retry_after(make_api: MakeApi, method: str, path: str) -> None:
    api = await make_api(Down())
    found = await api.call(method, path, V1 if "set" in path else None, key=KEY)
    assert (found.status, found.headers["Retry-After"]) == (503, "5")
    assert found.json["response"]["message"] == ["DATABASE_CONNECTION_URI postgresql://db/evolution: down"]

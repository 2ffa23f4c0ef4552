"""Find, list, delete and test, whoever is named how; and what no answer shows."""

import json

import pytest

from tests.api.conftest import KEY, Api, MakeApi
from tests.api.documents import URL, V1, V2_ANSWER, V20, V21
from worker.domain.webhook import Webhook
from worker.domain.webhook_test import WebhookTest
from worker.stores.own.store import SqlStore
from worker.stores.read_only import ReadOnly
from worker.webhooks.store import StoreUnavailable


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


async def test_several_webhooks_by_id_in_body_or_query(api: Api, store: SqlStore) -> None:
    await api.set("acme", V1)
    await api.set("acme", {"url": URL + "/a", "id": "audit"})
    await api.set("acme", {"webhook": {"url": URL + "/b", "enabled": True}}, "?id=backup")
    assert [found.id for found in await store.load("acme")] == ["audit", "backup", "default"]
    assert (await api.find("acme")).json["url"] == URL
    assert (await api.find("acme", "?id=audit")).json["url"] == URL + "/a"
    assert (await api.find("acme", "?id=none")).status == 404
    assert (await api.find("acme", "?id=")).status == 404
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
    assert (await api.call("POST", "/webhook/test/acme?id=")).status == 404


async def test_a_test_names_its_event_and_tells_a_failure(api: Api, store: SqlStore) -> None:
    await store.put(Webhook("acme", URL, id="b"))
    api.trial = WebhookTest(None, 3.0, error="h.example does not resolve")
    found = await api.call("POST", "/webhook/test/acme", {"event": "messages.upsert", "id": "b"})
    assert (found.json["ok"], found.json["status"], found.json["error"]) == (False, None, "h.example does not resolve")
    assert json.loads(api.sent[0][1])["event"] == "messages.upsert"
    assert (await api.call("POST", "/webhook/test/acme")).status == 404
    assert (await api.call("POST", "/webhook/test/acme", {"event": "NOPE"})).status == 400
    assert (await api.call("POST", "/webhook/test/acme", {"id": 5})).status == 400


async def test_no_answer_shows_header_values_secrets_or_url_credentials(api: Api) -> None:
    secret = "whsec_" + "Q" * 43 + "="
    body = {"url": "https://user:hunter2@h.example/", "headers": {"X-Key": "hunter2"}, "secret": secret}
    texts = [(await api.set("acme", body)).text, (await api.set("acme", {"webhook": body})).text]
    texts += [(await api.find("acme")).text, (await api.call("GET", "/webhook")).text]
    texts += [(await api.call("POST", "/webhook/test/acme")).text]
    texts += [(await api.set("acme", {**body, "events": ["X"], "secret": ["hunter2"], "timeout_ms": 0})).text]
    assert not [text for text in texts if "hunter2" in text or secret in text]


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


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("POST", "/webhook/set/acme?instance=beta&id=crm", "instance: is no parameter here; there are id"),
        ("POST", "/webhook/set/acme?idd=crm", "idd: is no parameter here; there are id"),
        ("POST", "/webhook/instance/?ID=crm", "ID: is no parameter here; there are id"),
        ("GET", "/webhook/find/acme/?idd=crm", "idd: is no parameter here; there are id"),
        ("GET", "/webhook?limt=1", "limt: is no parameter here; there are after, instance, limit"),
        ("DELETE", "/webhook/acme?idd=crm", "idd: is no parameter here; there are id"),
        ("DELETE", "/webhook/acme?id=crm&id=default", "id: is given twice"),
        ("POST", "/webhook/test/acme?idd=crm", "idd: is no parameter here; there are id"),
        ("POST", "/webhook/explain/acme?id=crm", "id: is no parameter: there are none"),
        ("POST", "/webhook/pause/acme?idd=crm", "idd: is no parameter here; there are id"),
        ("POST", "/webhook/resume/acme?accept-gap=true", "accept-gap: is no parameter here; there are accept_gap, id"),
        ("GET", "/replay?after=1", "after: is no parameter here; there are limit"),
        ("POST", "/replay?dry_run=true", "dry_run: is no parameter: there are none"),
        ("POST", "/history/msg_1/resend?all=true", "all: is no parameter: there are none"),
    ],
)
async def test_a_misspelt_parameter_is_refused_instead_of_meaning_the_default_webhook(
    api: Api, store: SqlStore, method: str, path: str, told: str
) -> None:
    await api.set("acme", V1)
    found = await api.call(method, path, V1 if method == "POST" else None)
    assert (found.status, found.json["response"]["message"]) == (400, [[told]])
    assert [(item.webhook.id, item.revision) for item in await store.get("acme")] == [("default", 1)]


async def test_a_body_that_names_another_instance_than_the_path_is_refused(api: Api) -> None:
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


@pytest.mark.parametrize(("method", "path"), [("POST", "/webhook/set/a"), ("DELETE", "/webhook/a")])
async def test_a_source_that_others_write_is_read_and_not_changed(
    make_api: MakeApi, store: SqlStore, method: str, path: str
) -> None:
    await store.put(Webhook("a", URL))
    api = await make_api(ReadOnly(store, "file", "edit webhooks.toml"))
    found = await api.call(method, path, V1 if "set" in path else None)
    assert (found.status, found.json["error"]) == (409, "Conflict")
    assert "WEBHOOK_SOURCE=file: edit webhooks.toml" in found.json["response"]["message"][0]
    assert (await api.find("a")).json["url"] == URL
    assert api.changes == []


async def test_a_slash_at_the_end_changes_nothing(api: Api, store: SqlStore) -> None:
    body = {"enabled": True, "url": URL, "events": []}
    assert (await api.call("POST", "/webhook/set/acme/", body)).status == 201
    assert (await api.call("POST", "/webhook/instance/?id=b", {**body, "instance": "acme"})).status == 201
    assert (await api.call("GET", "/webhook/find/acme/?id=b")).json["url"] == URL
    assert (await api.call("POST", "/webhook/test/acme/")).status == 200
    assert (await api.call("DELETE", "/webhook/acme/?id=*")).json == {"deleted": 2, "remaining": []}
    for path in ("/webhook/set/acme//", "/webhook/set//"):
        assert (await api.call("POST", path, body)).status == 404
    assert (await api.call("GET", "/webhook/set/acme/")).status == 405

"""Sets in every dialect, with the bodies of Evolution's documents, and what is kept."""

import pytest

from tests.api.conftest import Api
from tests.api.documents import URL, V1, V1_ANSWER, V2_ANSWER, V20, V21
from tests.support.tls import Authority
from worker.domain.request.signature import secret_key
from worker.domain.webhook import RateLimit, Tls, Webhook
from worker.stores.own.store import SqlStore


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


@pytest.mark.parametrize("url", [{"url": ""}, {}])
async def test_disabling_what_was_never_set_is_no_error_and_stores_nothing(
    api: Api, store: SqlStore, url: dict[str, str]
) -> None:
    found = await api.set("acme", {"enabled": False, **url})
    assert (found.status, found.json["webhook"]["webhook"]["enabled"]) == (201, False)
    assert "nothing was stored" in found.json["warnings"][0]
    assert (await api.set("acme", {"enabled": False, **url, "timeout_ms": 0})).status == 400
    assert (await store.load("acme"), api.changes) == ((), [])


async def test_the_bodies_of_evolutions_documents_work_as_they_stand(api: Api) -> None:
    """doc.evolution-api.com: v1, v2 configuration/webhooks, v2 webhook/set; docs.evolution-api.com: 00-set-webhook."""
    common = ["QRCODE_UPDATED", "MESSAGES_UPSERT", "MESSAGES_UPDATE", "MESSAGES_DELETE", "SEND_MESSAGE"]
    common += ["CONNECTION_UPDATE", "TYPEBOT_START", "TYPEBOT_CHANGE_STATUS"]
    v1 = ["APPLICATION_STARTUP", "CONTACTS_SET", "PRESENCE_UPDATE", "GROUPS_UPSERT", "GROUP_UPDATE", "NEW_JWT_TOKEN"]
    for body in (
        {"url": URL, "webhook_by_events": False, "webhook_base64": False, "events": common},
        {"enabled": True, "url": URL, "webhookByEvents": False, "events": v1},
        {"enabled": True, "url": URL, "webhookByEvents": True, "webhookBase64": True, "events": ["CALL"]},
        {
            "webhook": {
                "enabled": True,
                "url": URL,
                "headers": {"autorization": "Bearer TOKEN", "Content-Type": "application/json"},
                "byEvents": False,
                "base64": False,
                "events": common,
            }
        },
    ):
        assert (await api.set("acme", body)).status == 201


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


async def test_a_client_certificate_is_masked_kept_by_its_mask_and_refused_when_it_has_expired(
    api: Api, store: SqlStore
) -> None:
    authority = Authority()
    pem = authority.client_certificate()
    given = {"url": URL, "clientCertificate": pem, "ca": authority.pem}
    for body in (given, {"webhook": {"enabled": True, **given}}):
        answered = await api.set("acme", body)
        assert (answered.status, pem.splitlines()[1] in answered.text) == (201, False)
        assert (await store.load("acme"))[0].tls == Tls(pem, authority.pem)
    shown = (await api.find("acme")).json
    assert (shown["client_certificate"], shown["ca"]) == ("***", authority.pem)
    await api.set("acme", {"url": URL, "client_certificate": "***"})
    assert (await store.load("acme"))[0].tls == Tls(pem, authority.pem)
    ended = await api.set("acme", {"url": URL, "client_certificate": authority.client_certificate(days=-1)})
    assert (ended.status, "client_certificate: has expired on" in ended.text) == (400, True)
    await api.set("acme", {"url": URL, "client_certificate": None, "ca": ""})
    assert await store.load("acme") == (Webhook("acme", URL),)


async def test_a_generated_secret_is_shown_once(api: Api, store: SqlStore) -> None:
    for body in ({"url": URL, "secret": "generate"}, {"webhook": {"url": URL, "secret": "generate"}}):
        secret = (await api.set("acme", body)).json["secret"]
        assert len(secret_key(secret)) == 32
        assert (await store.load("acme"))[0].secrets == (secret,)
        assert secret not in (await api.find("acme")).text + (await api.set("acme", {"url": URL})).text
    assert (await api.find("acme")).json["secrets"] == 1


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

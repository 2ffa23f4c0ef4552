"""POST /webhook/explain/{instance}, and the fields by which a webhook chooses, over the API."""

from typing import Any

import pytest

from tests.api.conftest import Api
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

URL = "https://h.example/x"
GROUP = {
    "event": "messages.upsert",
    "instance": "acme",
    "data": {"key": {"remoteJid": "1203630@g.us", "fromMe": False}, "messageType": "conversation"},
}
CHOICES: dict[str, Any] = {
    "ignore": ["groups", "status"],
    "only_chats": ["5511999999999"],
    "except_chats": ["1203630@g.us"],
    "message_types": ["imageMessage"],
    "filter": {"data.key.fromMe": False, "data.pushName": None},
    "media": "strip",
    "thumbnails": "strip",
    "max_body_bytes": 4096,
    "ttl_seconds": {"QRCODE_UPDATED": 60.0},
    "latest_only": ["PRESENCE_UPDATE"],
}


@pytest.mark.parametrize("nested", [False, True])
async def test_every_choice_is_set_shown_kept_and_reset_in_each_dialect(api: Api, nested: bool) -> None:
    def body(fields: dict[str, Any]) -> dict[str, Any]:
        whole = {"url": URL, "enabled": True, **fields}
        return {"webhook": whole} if nested else whole

    assert (await api.set("acme", body(CHOICES))).status == 201
    found = (await api.find("acme")).json
    assert {name: found[name] for name in CHOICES} == CHOICES
    await api.set("acme", body({}))
    found = (await api.find("acme")).json
    assert {name: found[name] for name in CHOICES} == CHOICES
    assert (await api.set("acme", found)).status == 201
    await api.set("acme", body(dict.fromkeys(CHOICES)))
    found = (await api.find("acme")).json
    assert (found["ignore"], found["filter"], found["media"], found["ttl_seconds"]) == ([], None, "keep", {})


async def test_what_is_wrong_is_refused_with_its_place_in_the_callers_spelling(api: Api) -> None:
    wrong = {"filter": {"$or": [{"data.a": 1}, {"data.n": {"$gt": None}}]}, "ttlSeconds": {"QRCODE_UPDATD": 1}}
    for body, prefix in (({"url": URL, **wrong}, ""), ({"webhook": {"url": URL, **wrong}}, "webhook.")):
        found = await api.set("acme", body)
        said = [line for lines in found.json["response"]["message"] for line in lines]
        assert found.status == 400
        assert f"{prefix}filter.$or[1].data.n.$gt: a number or a string, not null" in said
        assert f"{prefix}ttlSeconds.QRCODE_UPDATD: is not an event; the nearest is QRCODE_UPDATED" in said


async def test_each_webhook_is_explained_and_nothing_is_sent(api: Api, store: SqlStore) -> None:
    await store.put(Webhook("acme", URL, ignore=frozenset({"groups"})))
    await store.put(Webhook("acme", URL, id="second"))
    found = await api.call("POST", "/webhook/explain/acme", GROUP)
    assert found.status == 200
    first, second = found.json["webhooks"]
    assert (first["would"], first["reason"], first["why"]) == ("skip", "filtered", "ignore: groups")
    assert (second["would"], second["reason"]) == ("send", None)
    assert second["body_bytes"] > 100
    assert first["notes"] == second["notes"] == []
    assert api.sent == []


async def test_an_instance_without_webhooks_has_nothing_to_explain(api: Api) -> None:
    assert (await api.call("POST", "/webhook/explain/acme", GROUP)).json == {"webhooks": []}


async def test_what_is_no_event_is_refused(api: Api) -> None:
    found = await api.call("POST", "/webhook/explain/acme", {"event": "x"})
    assert (found.status, "the body is no event: the message has no `instance`" in found.text) == (400, True)

"""Webhooks: the list, one of them, its form, and what can be done to it; over a real table and a real history."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any
from urllib.parse import quote

import pytest

from tests.console.conftest import FAILED, HOSTILE, NOW, ROW, Console, MakeConsole, Seen, Visitor, remember
from tests.console.test_dead import Program, listing
from tests.console.test_replays import Kept
from worker.console.form import EDITED, of_webhook
from worker.console.ports import NoEvents
from worker.console.webhooks import PAGE
from worker.domain.silence.pulse import Pulse
from worker.domain.webhook import Webhook
from worker.domain.webhook_test import WebhookTest
from worker.history.asking import Asking
from worker.history.store import HistoryStore
from worker.stores.own.store import SqlStore

SECRET = "whsec_" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB"
URL = "https://user:hunter2@hooks.example/in"
ACME = Webhook("acme", URL, headers=(("X-Tenant", "hush-hush"),), secrets=(SECRET,))
HERE = "/webhook?instance=acme&id=default"


def form_of(seen: Seen) -> dict[str, str]:
    """What a browser would send for the form of settings as it stands."""
    form = dict(re.findall(r'<input id="(?:\w+)" name="(\w+)" value="([^"]*)"', seen.text))
    form |= dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', seen.text))
    form |= dict(re.findall(r'<textarea id="\w+" name="(\w+)"[^>]*>\n(.*?)</textarea>', seen.text, re.DOTALL))
    form |= dict.fromkeys(re.findall(r'id="(\w+)" name="\1" value="on" checked', seen.text), "on")
    return {name: text.replace("&#34;", '"').replace("&#39;", "'") for name, text in form.items()}


async def saved(store: SqlStore, instance: str = "acme") -> Webhook:
    (found,) = await store.load(instance)
    return found


async def test_a_history_that_does_not_answer_is_no_sign_of_health(
    make_console: MakeConsole, store: SqlStore, history: HistoryStore
) -> None:
    served = await make_console(store, history=Asking(history, lambda: "no file yet", lambda: NOW))
    await store.put(ACME)
    await store.put(Webhook("loja", "https://h/", enabled=False, disabled_reason="410"))
    seen = await (await served.operator()).get("/webhooks")
    assert seen.heading == "How they fare is not known"
    assert "Of all 2, 1 cannot be told" in seen.words


async def test_the_list_says_who_is_well(served: Console, store: SqlStore, history: HistoryStore) -> None:
    visitor = await served.operator()
    empty = await visitor.get("/webhooks")
    assert (empty.heading, "make a webhook" in empty.words) == ("No webhook", True)
    for webhook in (
        ACME,
        Webhook("loja", "https://h/"),
        Webhook("an-off", "https://h/", enabled=False, disabled_reason="410"),
    ):
        await store.put(webhook)
    await remember(history, FAILED, ROW._replace(instance="loja"))
    seen = await visitor.get("/webhooks")
    assert seen.heading == "1 failing"
    assert (
        seen.words.index("acme / default") < seen.words.index("loja / default") < seen.words.index("an-off / default")
    )
    assert "Of all 3, 2 are well, quiet, paused or disabled" in seen.words
    assert re.search(
        r"acme / default https://\*\*\*@hooks.example/in Failing .* 0 % of 1 0 % of 1 1 min ago", seen.words
    )
    assert "last 24 hours: 1 attempts, 1 failed" in seen.text
    assert "hunter2" not in seen.text


async def test_what_is_sent_in_order_is_marked(served: Console, store: SqlStore) -> None:
    await store.put(Webhook("acme", "https://h/", order="chat"))
    await store.put(Webhook("loja", "https://h/", order_next="instance", order_switch_at=1))
    visitor = await served.operator()
    seen = await visitor.get("/webhooks")
    assert seen.words.count("Quiet in order") == 2
    assert 'title="its order is being switched"' in seen.text
    assert "It gets each chat in order." in (await visitor.get("/webhook?instance=acme&id=default")).words


async def test_many_are_pages_and_found_by_how_their_names_begin(served: Console, store: SqlStore) -> None:
    for number in range(PAGE + 5):
        await store.put(Webhook(f"shop-{number:03}", "https://h/"))
    await store.put(Webhook("zebra", "https://h/"))
    visitor = await served.operator()
    seen = await visitor.get("/webhooks")
    following = re.search(r'href="/console([^"]+)">Next page', seen.text)
    assert following
    seen = await visitor.get(following[1].replace("&amp;", "&"))
    assert ("shop-054" in seen.text, "zebra" in seen.text, "shop-049" in seen.text) == (True, True, False)
    seen = await visitor.get("/webhooks?find=shop-01")
    assert (seen.text.count("shop-01"), "zebra" in seen.text, "Next page" in seen.text) == (21, False, False)
    assert "begins with nobody" in (await visitor.get("/webhooks?find=nobody")).words


async def test_an_owner_sees_and_changes_its_own_alone(served: Console, store: SqlStore) -> None:
    for webhook in (ACME, Webhook("loja", "https://theirs.example/")):
        await store.put(webhook)
    owner = await served.owner()
    for path in ("/webhooks", "/webhooks?find=loja", "/webhooks?after=a&after_id=a"):
        assert "theirs" not in (await owner.get(path)).text
    theirs = "?instance=loja&id=default"
    assert (await owner.get(f"/webhook{theirs}")).status == 404
    for path in ("/webhook", "/webhook/try", "/webhook/test", "/webhook/rotate", "/webhook/delete"):
        seen = await owner.post(path + theirs, {"url": "https://mine.example/", "revision": "1", "expire_old": "0"})
        assert seen.status == 404
    seen = await owner.post("/webhooks/new", {"instance": "loja", "id": "second", "url": "https://h/", "enabled": "on"})
    assert [webhook.instance for webhook in await store.load("acme")] == ["acme", "acme"]
    assert [webhook.url for webhook in await store.load("loja")] == ["https://theirs.example/"]
    assert served.sent == []


async def test_saving_a_form_as_it_is_changes_nothing_and_keeps_secrets(served: Console, store: SqlStore) -> None:
    everything = Webhook(
        "acme",
        URL,
        headers=(("X-Tenant", "hush-hush"),),
        secrets=(SECRET,),
        events=frozenset({"MESSAGES_UPSERT", "FUTURE_EVENT"}),
        by_events=True,
        ignore=frozenset({"groups"}),
        only_chats=frozenset({"5511999999999"}),
        filter='{"data.pushName":{"$startsWith":"\U0001f469\u200d\U0001f680"}}',
        ttl_seconds=(("QRCODE_UPDATED", 60.0),),
        latest_only=frozenset({"PRESENCE_UPDATE"}),
        timeout_ms=5000,
        max_body_bytes=65_536,
        media="strip",
    )
    await store.put(everything)
    visitor = await served.operator()
    page = await visitor.get(HERE)
    assert not [secret for secret in ("hunter2", "hush-hush", SECRET) if secret in page.text]
    form = form_of(page)
    pairs = [*form.items(), ("events", "MESSAGES_UPSERT"), ("events", "FUTURE_EVENT"), ("ignore", "groups")]
    pairs += [("media", "strip"), ("thumbnails", "keep")]
    seen = await visitor.post(HERE, pairs)
    assert "It is saved, and in force on every replica." in seen.words
    assert await saved(store) == everything
    assert served.changes == [("acme", 2)]


async def test_a_fields_error_stands_beside_it_and_what_was_typed_stays(served: Console, store: SqlStore) -> None:
    await store.put(ACME)
    visitor = await served.operator()
    form = form_of(await visitor.get(HERE))
    wrong = {"url": "http://receiver.internal/", "timeout_ms": "soon", "filter": '{"a": ', "rate_limit": "fast"}
    wrong |= {"headers": "X-Tenant: ***\nX-New: ***\nX y: z", "ttl_seconds": "NO_EVENT=5"}
    seen = await visitor.post(HERE, {**form, **wrong})
    assert (seen.status, "It is not saved: see what is wrong below." in seen.words) == (400, True)
    for name in ("timeout_ms", "filter", "rate_limit", "headers", "ttl_seconds"):
        error = re.search(rf'id="{name}-error">([^<]+)<', seen.text)
        assert error, name
        assert f'aria-describedby="{name}-hint {name}-error"' in seen.text
        assert seen.text.count(f'id="{name}-error"') == 1
        assert f'<a href="#{name}-error">' in seen.text, "what is above the form leads to it"
    assert 'value="soon"' in seen.text
    assert await saved(store) == ACME
    seen = await visitor.post(HERE, {**form, "url": "http://receiver.internal/"})
    assert "is refused by the egress rules: 10.1.2.3 is private" in seen.words
    assert served.changes == []


async def test_what_somebody_else_changed_is_not_overwritten_unseen(served: Console, store: SqlStore) -> None:
    await store.put(Webhook("acme", "https://first.example/"))
    visitor = await served.operator()
    form = form_of(await visitor.get(HERE))
    await store.put(Webhook("acme", "https://theirs.example/"))
    seen = await visitor.post(HERE, {**form, "url": "https://mine.example/"})
    assert (seen.status, "Somebody has changed it meanwhile" in seen.words) == (409, True)
    assert (await saved(store)).url == "https://theirs.example/"
    await visitor.post(HERE, form_of(seen))
    assert (await saved(store)).url == "https://mine.example/"


async def test_disabling_keeps_its_events(served: Console, store: SqlStore) -> None:
    await store.put(Webhook("acme", "https://h/", events=frozenset({"CALL"})))
    visitor = await served.operator()
    form = form_of(await visitor.get(HERE))
    del form["enabled"]
    await visitor.post(HERE, {**form, "events": "CALL"})
    found = await saved(store)
    assert (found.enabled, found.events) == (False, {"CALL"})


async def test_a_new_webhook_shows_its_secret_once(served: Console, store: SqlStore) -> None:
    visitor = await served.operator()
    assert (await visitor.get("/webhooks/new")).heading == "New webhook"
    form = {"instance": "acme", "id": "crm", "url": "https://h.example/", "enabled": "on", "generate": "on"}
    created = await visitor.post("/webhooks/new", form, follow=False)
    assert (created.status, "whsec_" in str(created.headers)) == (303, False)
    page = created.headers["Location"].removeprefix("/console")
    another = await (await served.operator()).get(page)
    assert ("whsec_" in another.text, "It is saved" in another.words) == (False, True)
    seen = await visitor.get(page)
    secret = re.search(r'<code class="secret">(whsec_[^<]+)</code>', seen.text)
    found = await saved(store)
    assert secret
    assert (found.id, found.secrets) == ("crm", (secret[1],))
    assert secret[1] not in (await visitor.get(page)).text
    seen = await visitor.post("/webhooks/new", form)
    assert (seen.status, "there is such a webhook" in seen.words) == (400, True)
    seen = await visitor.post("/webhooks/new", {**form, "instance": "", "id": "é", "url": ""})
    assert "String should" not in seen.words
    assert [name for name in ("instance", "id", "url") if f'id="{name}-error"' in seen.text] == [
        "instance",
        "id",
        "url",
    ]


async def test_of_several_who_make_the_same_webhook_at_once_one_makes_it(served: Console, store: SqlStore) -> None:
    visitor = await served.operator()
    form = {"instance": "acme", "id": "crm", "enabled": "on", "generate": "on"}
    urls = [f"https://h.example/{number}" for number in range(8)]
    answers = await asyncio.gather(*(visitor.post("/webhooks/new", {**form, "url": url}) for url in urls))
    made = [number for number, seen in enumerate(answers) if seen.status == 200]
    assert [seen.status for seen in answers if "there is such a webhook" in seen.words] == [400] * 7
    assert [(await saved(store)).url] == [urls[number] for number in made]


async def test_what_does_not_do_as_expected_is_said_above_what_was_saved(served: Console, store: SqlStore) -> None:
    await store.put(ACME)
    visitor = await served.operator()
    form = {**form_of(await visitor.get(HERE)), "message_types": "imageMesage"}
    seen = await visitor.post(HERE, form)
    assert 'in force on every replica. message_types: "imageMesage" is no message type known here' in seen.words
    assert seen.url.query["done"] == "saved"


async def test_a_webhook_of_an_instance_that_nobody_has_heard_of_says_so(
    served: Console, store: SqlStore, history: HistoryStore
) -> None:
    await history.hear([Pulse("acme-shop", int(NOW * 1000)), Pulse("loja", int(NOW * 1000))])
    visitor = await served.operator()
    form = {"instance": "acme-shopp", "id": "crm", "url": "https://h.example/", "enabled": "on"}
    seen = await visitor.post("/webhooks/new", form)
    assert "No message of an instance of this name has come yet." in seen.words
    assert ("Like it: acme-shop ." in seen.words, "loja" in seen.words) == (True, False)
    assert "No message of" not in (await visitor.post("/webhooks/new", {**form, "instance": "loja"})).words
    await store.put(ACME)
    seen = await (await served.owner()).get(HERE)
    assert ("No message of an instance" in seen.words, "shop" in seen.text) == (True, False)
    await remember(history, ROW)
    assert "No message of" not in (await visitor.get(HERE)).words


async def test_known_instances_are_offered_to_the_operator_alone(
    make_console: MakeConsole, served: Console, history: HistoryStore
) -> None:
    console = await make_console(served.store, history=served.history, replays=Kept(served.store))
    await history.hear([Pulse(name, int(NOW * 1000)) for name in ("acme", "loja", HOSTILE)])
    operator, owner = await console.operator(), await console.owner()
    console.run = Program(listing((), ()))
    for path in ("/webhooks/new", "/deliveries", "/dead", "/replays"):
        seen = await operator.get(path)
        assert ('list="instances"' in seen.text, '<option value="loja">' in seen.text) == (True, True), path
        assert "<script>alert" not in seen.text
        seen = await owner.get(path)
        assert ("<datalist" in seen.text, "loja" in seen.words) == (False, False), path


async def test_a_secret_is_rotated_and_the_old_one_goes_on(served: Console, store: SqlStore) -> None:
    await store.put(ACME)
    visitor = await served.operator()
    seen = await visitor.post("/webhook/rotate?instance=acme&id=default", {"expire_old": "3600"})
    found = await saved(store)
    assert found.secrets[0] in seen.text
    assert (found.secrets[1], found.old_secret_until) == (SECRET, NOW + 3600)
    assert SECRET not in seen.text
    assert (await visitor.post("/webhook/rotate?instance=acme&id=default", {"expire_old": "9"})).status == 400
    assert served.changes == [("acme", 2)]


async def test_a_secret_that_a_receiver_may_still_know_ends_only_when_that_is_said(
    served: Console, store: SqlStore
) -> None:
    await store.put(ACME)
    visitor, path = await served.operator(), "/webhook/rotate?instance=acme&id=default"
    (revision, _) = re.findall(r'name="revision" value="(\d+)"', (await visitor.get(HERE)).text)
    first = {"expire_old": "3600", "revision": revision}
    assert (await visitor.post(path, first)).status == 200
    rotated = await saved(store)
    again = await visitor.post(path, first)
    assert (again.status, "has changed since this form was shown" in again.words) == (409, True)
    asked = await visitor.post(path, {"expire_old": "3600"})
    assert (asked.status, "an older one still signs until 2026-11-28 13:00:00 UTC" in asked.words) == (409, True)
    assert 'name="end_older" value="on" required' in asked.text
    assert await saved(store) == rotated
    assert (await visitor.post(path, {"expire_old": "0", "end_older": "on"})).status == 200
    assert SECRET not in (await saved(store)).secrets


async def test_a_test_event_is_sent_and_its_answer_is_text(served: Console, store: SqlStore) -> None:
    await store.put(ACME)
    visitor = await served.operator()
    served.trial = WebhookTest(500, 3.21, b"<script>alert(1)</script>")
    seen = await visitor.post("/webhook/test?instance=acme&id=default", {"event": "CALL"})
    assert "The test was answered 500 after 3.2 ms. <script>alert(1)</script>" in seen.words
    assert json.loads(served.sent[0][1])["event"] == "call"
    served.trial = WebhookTest(None, 1.0, error="connection refused")
    assert "The test failed: connection refused" in (await visitor.post("/webhook/test?instance=acme&id=default")).words
    assert (await visitor.post("/webhook/test?instance=acme&id=default", {"event": "x"})).status == 400


async def test_a_test_event_is_one_that_the_webhook_has_chosen(served: Console, store: SqlStore) -> None:
    chosen = {"PRESENCE_UPDATE": {"PRESENCE_UPDATE", "SEND_MESSAGE"}, "APPLICATION_STARTUP": set()}
    visitor = await served.operator()
    for name, events in chosen.items():
        await store.put(Webhook("acme", URL, events=frozenset(events)))
        assert f"<option selected>{name}</option>" in (await visitor.get(HERE)).text


@pytest.mark.parametrize(
    ("typed", "event", "says"),
    [
        ({}, {"event": "call", "instance": "acme", "data": {}}, "It would be sent"),
        (
            {"filter": '{"data.key.fromMe": false}'},
            {"event": "call", "instance": "acme", "data": {"key": {"fromMe": True}}},
            "It would be skipped ( filtered ). filter.data.key.fromMe: true is not false",
        ),
        ({"filter": '{"a": {"$no": 1}}'}, {}, "It was not tried: see what is wrong below."),
        ({}, [], "This is no event"),
        ({}, {"event": "call", "instance": "loja", "data": {}}, "It would never come here : it is an event of"),
        ({}, {"event": "messages.upsert", "instance": "acme", "data": "\ud800"}, "It would be sent"),
        ({}, {"event": "call", "instance": "acme", "data": {"chatId": "\ud800"}}, "It would be sent"),
    ],
)
async def test_settings_are_tried_on_an_event_before_they_are_saved(
    served: Console, store: SqlStore, typed: dict[str, str], event: Any, says: str
) -> None:
    await store.put(ACME)
    visitor = await served.operator()
    form = form_of(await visitor.get(HERE))
    seen = await visitor.post("/webhook/try?instance=acme&id=default", {**form, **typed, "event": json.dumps(event)})
    assert says in seen.words
    assert await saved(store) == ACME


async def test_without_an_event_there_is_nothing_to_try(served: Console, store: SqlStore) -> None:
    await store.put(ACME)
    visitor = await served.operator()
    seen = await visitor.post(
        "/webhook/try?instance=acme&id=default", {**form_of(await visitor.get(HERE)), "event": " "}
    )
    assert (seen.status, "Paste an event first." in seen.words) == (200, True)


async def test_settings_are_tried_on_the_last_events(make_console: MakeConsole, store: SqlStore) -> None:
    events: list[Any] = [{"event": "call", "instance": "acme", "data": {"a": number}} for number in (1, 2)]
    found: list[Any] = [[json.dumps(event).encode() for event in events], [], NoEvents("no connection")]

    async def last_events(instance: str) -> Any:
        assert instance == "acme"
        answer = found.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    await store.put(ACME)
    visitor = await (await make_console(store, last_events=last_events)).operator()
    form = {**form_of(await visitor.get(HERE)), "filter": '{"data.a": 1}', "do": "last"}
    words = [(await visitor.post("/webhook/try?instance=acme&id=default", form)).words for _ in range(3)]
    assert "1 of the last 2 would be sent." in words[0]
    assert "call sent 104 B call skipped filter.data.a: 2 is not 1" in words[0]
    assert "No event of this instance came lately" in words[1]
    assert "The last events cannot be had: no connection" in words[2]


async def test_tried_events_are_told_apart_by_chat_and_type(make_console: MakeConsole, store: SqlStore) -> None:
    def message(chat: str, kind: str, **content: str) -> bytes:
        data = {"key": {"remoteJid": chat}, "messageType": kind, "message": content}
        return json.dumps({"event": "messages.upsert", "instance": "acme", "data": data}).encode()

    async def last_events(_: str) -> list[bytes]:
        picture = message("5511@s.whatsapp.net", "imageMessage", base64="QUFB" * 500)
        return [picture, message("1@g.us", HOSTILE), b'{"event":"call","instance":"acme","data":[1]}']

    await store.put(ACME)
    visitor = await (await make_console(store, last_events=last_events)).operator()
    form = {**form_of(await visitor.get(HERE)), "ignore": "groups", "media": "strip", "do": "last"}
    seen = await visitor.post("/webhook/try?instance=acme&id=default", form)
    assert "messages.upsert private · imageMessage · 5511@s.whatsapp.net sent 317 B" in seen.words
    assert re.search(r"sent 317 B of 2.1 KiB messages.upsert group · ", seen.words)
    assert ("<script>alert" in seen.text, "\u202e" in seen.text, "call sent" in seen.words) == (False, False, True)


async def test_a_webhook_that_fails_says_what_its_receiver_said_last(
    served: Console, store: SqlStore, history: HistoryStore
) -> None:
    await store.put(ACME)
    waiting = FAILED._replace(at=ROW.at + 5000, outcome="Parked", reason="circuit_open", ms=None, error=None)
    await remember(history, ROW, FAILED._replace(at=ROW.at + 1, answer=f"no room {HOSTILE}"), waiting)
    seen = await (await served.operator()).get(HERE)
    assert re.search(r"Its last failure , 59 s ago : answered 503. That delivery no room <script>", seen.words)
    assert "<script>alert" not in seen.text
    await remember(history, ROW._replace(at=ROW.at + 9000), producer="later")
    await store.put(ACME)
    assert "Its last failure" in (await (await served.operator()).get(HERE)).words


async def test_deleting_asks_once(served: Console, store: SqlStore) -> None:
    await store.put(ACME)
    visitor = await served.operator()
    seen = await visitor.get("/webhook/delete?instance=acme&id=default")
    assert (seen.heading, len(await store.load("acme"))) == ("Delete acme/default?", 1)
    seen = await visitor.post("/webhook/delete?instance=acme&id=default")
    assert ("The webhook is deleted." in seen.words, await store.load("acme")) == (True, ())
    assert served.changes == [("acme", 2)]


async def test_hostile_names_are_only_text(served: Console, store: SqlStore, history: HistoryStore) -> None:
    name = HOSTILE
    await store.put(Webhook(name, f"https://h.example/{quote(HOSTILE)}", disabled_reason=HOSTILE, enabled=False))
    visitor = await served.operator()
    here = f"?instance={quote(name)}&id=default"
    for path in ("/webhooks", f"/webhook{here}", f"/webhook/delete{here}", f"/webhooks?find={quote(name)}"):
        seen = await visitor.get(path)
        assert seen.status == 200
        assert "<script>alert" not in seen.text
        assert "\u202e" not in seen.text.replace('value="' + name, "")
    assert "acme" not in (await visitor.get(f"/webhook{here}")).text


async def test_where_webhooks_are_others_to_write_nothing_offers_to_change_them(
    make_console: MakeConsole, store: SqlStore
) -> None:
    await store.put(ACME)
    visitor: Visitor = await (await make_console(store, elsewhere="edit webhooks.toml")).operator()
    seen = await visitor.get(HERE)
    assert "They are changed elsewhere: edit webhooks.toml" in seen.words
    assert not [name for name in (">Save<", "Rotate", "Delete...") if name in seen.text]
    for path in (HERE, "/webhook/rotate?instance=acme&id=default", "/webhook/delete?instance=acme&id=default"):
        assert (await visitor.post(path, {"expire_old": "0"})).status == 403
    assert (await visitor.get("/webhooks/new")).status == 403


def test_every_declared_field_is_a_control_once() -> None:
    names = [control.name for group in of_webhook(ACME) for control in group.controls]
    assert sorted(names) == sorted(field.name for field in EDITED)

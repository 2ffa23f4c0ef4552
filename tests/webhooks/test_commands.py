"""`webhook set|get|list|delete`, on a real SQLite file."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.webhook_commands import set_webhook
from worker.basics.masking import without_credentials
from worker.domain.request.signature import secret_key
from worker.domain.webhook import RateLimit, Webhook
from worker.stores.own.store import SqlStore
from worker.webhooks.commands import (
    SetArguments,
    delete_webhooks,
    get_webhooks,
    list_webhooks,
)
from worker.webhooks.fields import InvalidWebhook
from worker.webhooks.shown import choices_line, table
from worker.webhooks.store import RowDamaged

URL = "https://h.example/x"
SECRET = "whsec_" + "A" * 43 + "="


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    found = SqlStore(f"sqlite:///{tmp_path}/webhooks.db", lambda: 1_795_000_000_123)
    await found.migrate()
    yield found
    await found.close()


async def test_set_creates_with_everything_that_was_typed(store: SqlStore) -> None:
    result = await set_webhook(
        store,
        SetArguments(
            instance="acme",
            webhook_id="audit",
            url=URL,
            events=["messages.upsert,CALL", "QRCODE_UPDATED"],
            by_events=True,
            enabled=False,
            headers=["X-Tenant: a:b", "X-Empty:"],
            secret=SECRET,
            timeout_ms=5,
            concurrency=6,
            rate_limit="7.5/8",
        ),
    )
    assert (result.created, result.revision, result.new_secret) == (True, 1, None)
    assert await store.load("acme") == (
        Webhook(
            instance="acme",
            url=URL,
            id="audit",
            enabled=False,
            events=frozenset({"MESSAGES_UPSERT", "CALL", "QRCODE_UPDATED"}),
            by_events=True,
            headers=(("X-Tenant", "a:b"), ("X-Empty", "")),
            secrets=(SECRET,),
            timeout_ms=5,
            concurrency=6,
            rate_limit=RateLimit(7.5, 8),
        ),
    )


async def test_set_changes_only_what_was_typed(store: SqlStore) -> None:
    await set_webhook(
        store, SetArguments("acme", url=URL, headers=["A: b"], secret=SECRET, events=["CALL"], rate_limit="2")
    )
    result = await set_webhook(store, SetArguments("acme", url="https://new.example/"))
    assert not result.created
    (webhook,) = await store.load("acme")
    assert webhook.url == "https://new.example/"
    assert (webhook.headers, webhook.secrets, webhook.events) == ((("A", "b"),), (SECRET,), {"CALL"})
    assert webhook.rate_limit == RateLimit(2, 1)


async def test_set_empties_lists_and_the_secret(store: SqlStore) -> None:
    await set_webhook(store, SetArguments("acme", url=URL, headers=["A: b"], secret=SECRET, events=["CALL"]))
    await set_webhook(store, SetArguments("acme", headers=[], secret="", events=[]))
    assert await store.load("acme") == (Webhook("acme", URL),)


async def test_set_takes_back_limits_and_choices(store: SqlStore) -> None:
    typed = {"timeout_ms": "5", "concurrency": "6", "rate_limit": "7", "max_body_bytes": "2048", "media": "strip"}
    await set_webhook(store, SetArguments("acme", url=URL, **typed))
    await set_webhook(store, SetArguments("acme", **dict.fromkeys(typed, "")))
    assert await store.load("acme") == (Webhook("acme", URL),)


async def test_set_names_the_place_of_what_is_wrong_in_a_filters_text(store: SqlStore) -> None:
    with pytest.raises(InvalidWebhook) as caught:
        await set_webhook(store, SetArguments("acme", url=URL, filter='{"data.n":1,"data.n":2}', ignore=[",,"]))
    assert [str(problem) for problem in caught.value.problems] == [
        "ignore: has nothing between its commas; '' stands for none",
        "filter.data.n: is there twice",
    ]


async def test_what_a_webhook_chooses_is_a_line(store: SqlStore) -> None:
    plain = await set_webhook(store, SetArguments("acme", url=URL, timeout_ms="5"))
    assert choices_line(plain.webhook) is None
    chosen = await set_webhook(
        store,
        SetArguments(
            "acme",
            ignore=["groups,status"],
            only_chats=[f"55119999{number:04d}" for number in range(25)],
            filter='{"data.key.fromMe": false}',
            media="strip",
            ttl_seconds=["CALL=5"],
        ),
    )
    assert choices_line(chosen.webhook) == (
        "default chooses: ignore groups,status; only_chats "
        + ",".join(f"55119999{number:04d}" for number in range(20))
        + ' and 5 more; filter {"data.key.fromMe":false}; media strip; ttl_seconds {"CALL":5.0}'
    )


async def test_a_generated_secret_is_shown_once(store: SqlStore) -> None:
    result = await set_webhook(store, SetArguments("acme", url=URL, secret="generate"))
    assert result.new_secret is not None
    assert len(secret_key(result.new_secret)) == 32
    assert (await store.load("acme"))[0].secrets == (result.new_secret,)
    assert result.new_secret not in str(result.webhook)
    again = await set_webhook(store, SetArguments("acme", timeout_ms=5))
    assert again.new_secret is None


async def test_a_webhook_that_a_410_disabled_keeps_the_reason_until_it_is_enabled(store: SqlStore) -> None:
    await set_webhook(store, SetArguments("acme", url=URL))
    await store.disable(Webhook("acme", URL), "the receiver answered 410")
    result = await set_webhook(store, SetArguments("acme", timeout_ms=5))
    assert result.webhook["disabled_reason"] == "the receiver answered 410"
    result = await set_webhook(store, SetArguments("acme", enabled=True))
    assert (result.webhook["enabled"], result.webhook["disabled_reason"]) == (True, None)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (SetArguments("acme"), "url: is required, as 'acme' has no webhook 'default' yet$"),
        (SetArguments("acme", url=URL, headers=["no colon"]), 'headers: must be given as "Name: value"'),
        (SetArguments("acme", url=URL, rate_limit="fast"), "rate_limit: must be PER_SECOND or PER_SECOND/BURST"),
        (SetArguments("acme", url=URL, events=["MESAGES_UPSERT"]), "the nearest is MESSAGES_UPSERT"),
        (SetArguments("acme", url=URL, webhook_id="global"), "id: 'global' is reserved"),
    ],
)
async def test_what_is_wrong_is_refused_and_nothing_stored(
    store: SqlStore, arguments: SetArguments, problem: str
) -> None:
    with pytest.raises(InvalidWebhook, match=problem):
        await set_webhook(store, arguments)
    assert await store.load("acme") == ()


async def test_who_forgot_the_id_is_told_which_there_are(store: SqlStore) -> None:
    for one in ("crm", "audit"):
        await set_webhook(store, SetArguments("acme", one, url=URL))
    with pytest.raises(InvalidWebhook) as caught:
        await set_webhook(store, SetArguments("acme", enabled=True))
    told = "url: is required, as 'acme' has no webhook 'default' yet; --id changes another one of it: audit, crm"
    assert str(caught.value) == told


async def test_everything_that_is_wrong_is_said_at_once(store: SqlStore) -> None:
    arguments = SetArguments(
        "acme",
        url="ftp://h/",
        events=["NOPE"],
        headers=["no colon"],
        timeout_ms="soon",
        concurrency="0",
        rate_limit="1/",
    )
    with pytest.raises(InvalidWebhook) as caught:
        await set_webhook(store, arguments)
    fields = ["url", "events[0]", "timeout_ms", "concurrency", "headers", "rate_limit"]
    assert [problem.field for problem in caught.value.problems] == fields


async def test_a_damaged_neighbour_is_named_and_nothing_is_overwritten(store: SqlStore, tmp_path: Path) -> None:
    await set_webhook(store, SetArguments("acme", url=URL, secret=SECRET))
    await set_webhook(store, SetArguments("acme", webhook_id="audit", url=URL))
    with closing(sqlite3.connect(tmp_path / "webhooks.db")) as connection, connection:
        connection.execute("UPDATE webhooks SET events = '{' WHERE id = 'audit'")
    with pytest.raises(RowDamaged, match="'audit'"):
        await set_webhook(store, SetArguments("acme", url="https://new.example/"))
    await set_webhook(store, SetArguments("acme", webhook_id="audit", url=URL))
    await set_webhook(store, SetArguments("acme", url="https://new.example/"))
    assert [webhook.secrets for webhook in await store.load("acme")] == [(), (SECRET,)]


async def test_setting_a_webhook_again_repairs_a_damaged_row(store: SqlStore, tmp_path: Path) -> None:
    await set_webhook(store, SetArguments("acme", url=URL))
    with closing(sqlite3.connect(tmp_path / "webhooks.db")) as connection, connection:
        connection.execute("UPDATE webhooks SET events = '{'")
    await set_webhook(store, SetArguments("acme", url=URL))
    assert await store.load("acme") == (Webhook("acme", URL),)


async def test_what_is_shown_holds_no_secret(store: SqlStore) -> None:
    url = "https://user:hunter2@h.example:8443/x?q=1"
    await set_webhook(store, SetArguments("acme", url=url, headers=["X-Key: hunter2"], secret=SECRET))
    (found,) = await get_webhooks(store, "acme")
    assert found["url"] == "https://***@h.example:8443/x?q=1"
    assert found["headers"] == {"X-Key": "***"}
    assert found["secrets"] == 1
    assert found["updated_at"] == "2026-11-18T11:06:40.123Z"
    text = json.dumps(found) + table([found])
    assert "hunter2" not in text
    assert SECRET not in text


async def test_get_finds_all_or_one(store: SqlStore) -> None:
    for name in ("default", "audit"):
        await set_webhook(store, SetArguments("acme", webhook_id=name, url=URL))
    assert [found["id"] for found in await get_webhooks(store, "acme")] == ["audit", "default"]
    assert [found["id"] for found in await get_webhooks(store, "acme", "audit")] == ["audit"]
    assert await get_webhooks(store, "acme", "none") == []
    assert await get_webhooks(store, "nobody") == []


async def test_list_turns_every_page(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.webhooks.commands.PAGE", 3)
    for number in range(8):
        await store.put(Webhook(f"i{number}", URL))
    assert [found["instance"] for found in await list_webhooks(store)] == [f"i{n}" for n in range(8)]
    assert len(await list_webhooks(store, limit=4)) == 4
    assert len(await list_webhooks(store, limit=0)) == 0


async def test_delete_takes_one_or_all(store: SqlStore) -> None:
    for name in ("default", "audit", "third"):
        await set_webhook(store, SetArguments("acme", webhook_id=name, url=URL))
    one, two = await delete_webhooks(store, "acme", "audit"), await delete_webhooks(store, "acme", None)
    assert (one and one.count, two and two.count) == (1, 2)
    assert await delete_webhooks(store, "acme", None) is None


async def test_the_table_is_readable(store: SqlStore) -> None:
    await store.put(Webhook("acme", URL, events=frozenset({"CALL", "QRCODE_UPDATED"}), by_events=True))
    await store.put(replace(Webhook("zeta", URL), enabled=False, disabled_reason="gone"))
    await store.put(
        replace(Webhook("zeta", URL, "b"), enabled=False, disabled_reason="gone", disabled_at=1_800_000_000_000)
    )
    await store.put(replace(Webhook("zeta", URL, "c"), paused_at=1_800_000_000_000))
    both = {"disabled_at": 1_800_000_000_000, "paused_at": 1_700_000_000_000}
    await store.put(replace(Webhook("zeta", URL, "d"), enabled=False, **both))
    lines = table(await list_webhooks(store)).splitlines()
    assert [line.split() for line in lines] == [
        ["INSTANCE", "ID", "ENABLED", "URL", "BY_EVENTS", "EVENTS"],
        ["acme", "default", "yes", URL, "yes", "CALL,QRCODE_UPDATED"],
        ["zeta", "b", "no", "(gone,", "disabled", "at", "2027-01-15T08:00:00.000Z)", URL, "no", "all"],
        ["zeta", "c", "yes", "(paused", "since", "2027-01-15T08:00:00.000Z)", URL, "no", "all"],
        [
            *("zeta", "d", "no", "(disabled", "at", "2027-01-15T08:00:00.000Z,"),
            *("paused", "since", "2023-11-14T22:13:20.000Z)", URL, "no", "all"),
        ],
        ["zeta", "default", "no", "(gone)", URL, "no", "all"],
    ]


@pytest.mark.parametrize(
    ("url", "shown"), [(URL, URL), ("https://u@h/", "https://***@h/"), ("worker+https://u:p@h/", "worker+https://***@h/"),
                       ("https://[u:p@h", "***")],
)  # fmt: skip
def test_url_credentials_are_masked(url: str, shown: str) -> None:
    assert without_credentials(url) == shown

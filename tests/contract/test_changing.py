"""Partial changes by writers at the same time: none undoes another's fields, on any database."""

import asyncio
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.contract.conftest import NewStore
from worker.domain.webhook import Endpoint, Webhook
from worker.webhooks import changing
from worker.webhooks.changing import change, leave
from worker.webhooks.store import StoreUnavailable, WritableStore, Written

ACME = Webhook("acme", "https://h.example/x")


async def test_a_write_that_came_between_is_noticed_and_changes_nothing(store: WritableStore) -> None:
    assert await store.put_if_unchanged(ACME, 0) == Written(1, created=True)
    assert await store.put_if_unchanged(replace(ACME, base64=True), 0) is None, "there is one already"
    assert await store.put(replace(ACME, timeout_ms=5)) == Written(2, created=False)
    assert await store.put_if_unchanged(replace(ACME, base64=True), 1) is None
    assert await store.load("acme") == (replace(ACME, timeout_ms=5),)
    assert await store.put_if_unchanged(ACME, 2) == Written(3, created=False)
    assert await store.load("acme") == (ACME,)


async def test_a_neighbours_write_is_none_that_came_between(store: WritableStore) -> None:
    await store.put(ACME)
    await store.put(replace(ACME, id="audit"))
    await store.put(replace(ACME, instance="other"))
    assert await store.put_if_unchanged(replace(ACME, timeout_ms=5), 1) == Written(3, created=False)


async def test_a_webhook_that_was_deleted_or_disabled_meanwhile_is_noticed(store: WritableStore) -> None:
    await store.put(ACME)
    await store.disable(ACME, "the receiver answered 410")
    assert await store.put_if_unchanged(ACME, 1) is None
    await store.delete("acme", None)
    assert await store.put_if_unchanged(ACME, 2) is None
    await store.put(ACME)
    assert await store.put_if_unchanged(ACME, 2) is None, "another one of the same name"
    assert await store.put_if_unchanged(ACME, 4) == Written(5, created=False)


async def test_what_others_changed_meanwhile_is_kept(store: WritableStore, new_store: NewStore) -> None:
    await store.put(ACME)
    other, seen = new_store(), []

    async def make(existing: Webhook | None) -> Webhook:
        assert existing is not None
        seen.append(existing)
        if len(seen) == 1:
            await other.put(replace(existing, secrets=("whsec_of_another",)))
        if len(seen) == 2:
            await other.disable(existing, "the receiver answered 410")
        return replace(existing, url="https://new.example/")

    changed = await change(store, Endpoint("acme", "default"), make, leave)
    gone = {"enabled": False, "disabled_reason": "the receiver answered 410"}
    wanted = replace(ACME, url="https://new.example/", secrets=("whsec_of_another",), **gone)
    assert changed is not None
    assert (changed.webhook, changed.written) == (wanted, Written(4, created=False))
    assert await store.load("acme") == (wanted,)
    assert len(seen) == 3


async def test_one_that_is_overtaken_all_the_time_gives_up_in_words(
    store: WritableStore, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing, "MOST_TRIES", 3)
    await store.put(ACME)
    other = new_store()

    async def make(existing: Webhook | None) -> Webhook:
        await other.put(ACME)
        return ACME

    with pytest.raises(StoreUnavailable, match=r"webhook 'default' of 'acme' is changed by others all the time"):
        await change(store, Endpoint("acme", "default"), make, leave)


WRITER = """
import asyncio, sys
from tests.support.webhook_commands import set_webhook
from worker.webhooks.commands import SetArguments
from worker.stores.own.store import SqlStore

async def main(uri, field):
    store = SqlStore(uri, lambda: 0)
    await store.load("acme")
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(1, 26):
        await set_webhook(store, SetArguments("acme", **{field: n if field != "rate_limit" else str(n)}))
        (webhook,) = await store.load("acme")
        found = getattr(webhook, field)
        assert getattr(found, "per_second", found) == n, f"{field} was {n} and is {found} now"
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_set_different_fields_of_one_webhook_lose_none(
    uri: str, store: WritableStore, new_store: NewStore
) -> None:
    """Each looks after each of its sets whether it is there: nobody else writes its field."""
    await store.put(ACME)
    fields = ("timeout_ms", "concurrency", "rate_limit")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, uri, field],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for field in fields
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None
        assert await asyncio.to_thread(writer.stdout.readline) == "ready\n"
    said = await asyncio.gather(*(asyncio.to_thread(writer.communicate, "go\n") for writer in writers))
    assert [(writer.returncode, error) for writer, (_, error) in zip(writers, said, strict=True)] == [(0, "")] * 3
    (stored,) = await store.get("acme")
    assert (stored.webhook.timeout_ms, stored.webhook.concurrency) == (25, 25)
    assert stored.webhook.rate_limit is not None
    assert (stored.webhook.rate_limit.per_second, stored.revision) == (25, 76)

"""What every writable store promises (worker/webhooks/store.py), on a real database."""

import asyncio
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.contract.conftest import Clock, NewStore
from worker.domain.webhook import Endpoint, RateLimit, Webhook
from worker.webhooks.store import Deleted, StoreUnavailable, WritableStore, Written

PLAIN = Webhook("acme", "https://h.example/x")
FULL = Webhook(
    instance="acme",
    url="https://user:pw@h.example/päth?q=1",
    id="audit",
    enabled=False,
    events=frozenset({"MESSAGES_UPSERT", "CALL"}),
    by_events=True,
    base64=True,
    headers=(("X-B", "ü"), ("X-A", '"quoted"')),
    secrets=("whsec_new", "whsec_old"),
    timeout_ms=1500,
    concurrency=3,
    rate_limit=RateLimit(0.5, 7),
    disabled_reason="gone",
)


async def test_a_webhook_comes_back_exactly_as_it_was_put(store: WritableStore) -> None:
    await store.put(FULL)
    await store.put(PLAIN)
    assert await store.load("acme") == (FULL, PLAIN)
    assert [stored.webhook for stored in await store.get("acme")] == [FULL, PLAIN]


async def test_an_instance_without_webhooks_is_empty(store: WritableStore) -> None:
    assert await store.load("nobody") == ()
    assert await store.get("nobody") == ()


async def test_the_instances_are_named_once_each_exactly_as_they_are(store: WritableStore) -> None:
    assert await store.instances() == ()
    for name in ("acme", "Acme", "acme ", "loja 1/ção"):
        await store.put(replace(PLAIN, instance=name))
    await store.put(FULL)
    assert sorted(await store.instances()) == sorted(("acme", "Acme", "acme ", "loja 1/ção"))
    await store.delete("acme", None)
    assert sorted(await store.instances()) == sorted(("Acme", "acme ", "loja 1/ção"))


@pytest.mark.parametrize("other", ["Acme", "acme ", "acmé", "acme/", "ac%", "acm_", "' OR 1=1 --"])
async def test_names_are_compared_byte_for_byte(store: WritableStore, other: str) -> None:
    await store.put(PLAIN)
    assert await store.load(other) == ()
    await store.put(replace(PLAIN, instance=other, url="https://other.example/"))
    assert await store.load("acme") == (PLAIN,)
    assert await store.delete(other, None) == Deleted(2, 1)
    assert await store.load("acme") == (PLAIN,)


async def test_ids_are_compared_byte_for_byte(store: WritableStore) -> None:
    await store.put(replace(PLAIN, id="a"))
    assert (await store.put(replace(PLAIN, id="A"))).created
    assert [webhook.id for webhook in await store.load("acme")] == ["A", "a"]


@pytest.mark.parametrize("name", ["x" * 256, "x" * 100_000, "nul\0"])
async def test_a_name_that_no_row_can_have_is_an_instance_without_webhooks(store: WritableStore, name: str) -> None:
    assert await store.load(name) == ()
    assert await store.get(name) == ()
    assert await store.delete(name, None) is None


async def test_the_longest_name_in_the_widest_characters_is_stored(store: WritableStore) -> None:
    webhook = replace(PLAIN, instance="😀" * 255, id="i" * 64)
    await store.put(webhook)
    assert await store.load("😀" * 255) == (webhook,)


async def test_a_second_put_replaces_the_webhook_whole_and_keeps_its_birth(store: WritableStore, clock: Clock) -> None:
    await store.put(FULL)
    born = clock.now
    await store.put(replace(PLAIN, id="audit"))
    (stored,) = await store.get("acme")
    assert stored.webhook == replace(PLAIN, id="audit")
    assert stored.created_at == born
    assert stored.updated_at == clock.now > born


async def test_every_change_raises_the_instances_revision_and_no_other(store: WritableStore) -> None:
    assert await store.put(PLAIN) == Written(1, created=True)
    assert await store.put(PLAIN) == Written(2, created=False)
    assert await store.put(replace(PLAIN, id="b")) == Written(3, created=True)
    assert await store.put(replace(PLAIN, instance="other")) == Written(1, created=True)
    assert await store.disable(PLAIN, "gone") == 4
    assert await store.delete("acme", "b") == Deleted(5, 1)
    assert await store.delete("acme", None) == Deleted(6, 1)


async def test_a_revision_never_falls_even_when_the_instance_goes(store: WritableStore) -> None:
    await store.put(PLAIN)
    await store.delete("acme", None)
    assert await store.put(PLAIN) == Written(3, created=True)


async def test_deleting_nothing_changes_nothing(store: WritableStore) -> None:
    await store.put(PLAIN)
    assert await store.delete("acme", "other") is None
    assert await store.delete("nobody", None) is None
    assert await store.put(PLAIN) == Written(2, created=False)


async def test_disabling_keeps_the_webhook_and_says_why(store: WritableStore) -> None:
    await store.put(PLAIN)
    await store.disable(PLAIN, "the receiver answered 410")
    assert await store.load("acme") == (replace(PLAIN, enabled=False, disabled_reason="the receiver answered 410"),)


async def test_a_late_410_does_not_disable_a_webhook_that_was_corrected_meanwhile(store: WritableStore) -> None:
    await store.put(PLAIN)
    corrected = replace(PLAIN, url="https://new.example/")
    await store.put(corrected)
    assert await store.disable(PLAIN, "gone") is None
    assert await store.load("acme") == (corrected,)
    assert await store.disable(replace(PLAIN, instance="nobody"), "gone") is None
    assert await store.put(corrected) == Written(3, created=False)


async def test_pages_hold_every_webhook_once_in_order(store: WritableStore) -> None:
    names = ["b", "B", "a", "é", "😀", "a b"]
    for name in names:
        await store.put(replace(PLAIN, instance=name))
        await store.put(replace(PLAIN, instance=name, id="second"))
    seen: list[Endpoint] = []
    after: Endpoint | None = None
    while True:
        page = await store.list(after, 5)
        assert len(page.items) <= 5
        seen += [item.webhook.endpoint for item in page.items]
        if page.following is None:
            break
        after = page.following
    assert seen == [Endpoint(name, id_) for name in sorted(names, key=str.encode) for id_ in ("default", "second")]


async def test_a_full_last_page_has_no_following_one(store: WritableStore) -> None:
    await store.put(PLAIN)
    assert (await store.list(None, 1)).following is None
    assert (await store.list(Endpoint("acme", "default"), 1)).items == ()


async def test_migrating_again_keeps_everything(store: WritableStore, new_store: NewStore) -> None:
    await store.put(PLAIN)
    assert await new_store().migrate() == await store.migrate()
    assert await store.load("acme") == (PLAIN,)


async def test_ten_stores_may_migrate_at_once(new_store: NewStore) -> None:
    stores = [new_store() for _ in range(10)]
    versions = await asyncio.gather(*(store.migrate() for store in stores))
    assert len(set(versions)) == 1
    await stores[0].put(PLAIN)
    assert await stores[9].load("acme") == (PLAIN,)


async def test_another_store_sees_a_change_at_once(store: WritableStore, new_store: NewStore) -> None:
    other = new_store()
    assert await other.load("acme") == ()
    await store.put(PLAIN)
    assert await other.load("acme") == (PLAIN,)


async def test_check_changes_nothing(store: WritableStore) -> None:
    await store.put(PLAIN)
    await store.check()
    assert await store.load("acme") == (PLAIN,)
    assert await store.put(PLAIN) == Written(2, created=False)


async def test_without_tables_check_passes_and_load_names_the_remedy(new_store: NewStore) -> None:
    await new_store().check()
    with pytest.raises(StoreUnavailable, match=r"DATABASE_CONNECTION_URI .*webhook-worker migrate"):
        await new_store().load("acme")


async def test_concurrent_puts_of_one_instance_get_distinct_revisions(store: WritableStore) -> None:
    written = await asyncio.gather(*(store.put(replace(PLAIN, id=f"w{n}")) for n in range(20)))
    assert sorted(one.revision for one in written) == list(range(1, 21))
    assert all(one.created for one in written)


async def test_concurrent_puts_of_one_webhook_create_it_once(store: WritableStore) -> None:
    written = await asyncio.gather(*(store.put(PLAIN) for _ in range(20)))
    assert sorted(one.created for one in written) == [False] * 19 + [True]


WRITER = """
import asyncio, sys
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

async def main(uri, process):
    store = SqlStore(uri, lambda: 0)
    await store.migrate()
    for n in range(25):
        await store.put(Webhook("shared", "https://h.example/", id=f"p{process}-{n}"))
        await store.load("shared")
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


async def test_four_processes_migrate_and_write_one_instance_at_once(uri: str, new_store: NewStore) -> None:
    command = [sys.executable, "-c", WRITER, uri]
    writers = [subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(4)]
    errors = [await asyncio.to_thread(writer.communicate) for writer in writers]
    assert [(writer.returncode, error[1]) for writer, error in zip(writers, errors, strict=True)] == [(0, "")] * 4
    stored = await new_store().get("shared")
    assert sorted(item.revision for item in stored) == list(range(1, 101))

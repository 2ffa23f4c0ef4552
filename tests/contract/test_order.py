"""What a row remembers of its order, and a deleted one's: on each database."""

import re
from dataclasses import replace

import pytest

from tests.contract.conftest import Clock
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore
from worker.webhooks.store import OrderLeft

BOT = Webhook("acme", "https://bot.example/in", id="bot", order="chat", order_block_seconds=7)
PLAIN = replace(BOT, order="none")


async def test_a_switch_is_kept_and_a_deleted_webhook_comes_back_with_another_order_only_when_nobody_knows_it(
    store: SqlStore, clock: Clock
) -> None:
    switching = replace(BOT, order_next="none", order_switch_at=7000)
    for webhook in (switching, BOT):
        await store.put(webhook)
        assert await store.load("acme") == (webhook,)

    await store.put(replace(PLAIN, id="other"))
    await store.delete("acme", None)
    with pytest.raises(OrderLeft, match=re.escape("had order 'chat'") + ".*Try again in 150 s, or use another id"):
        await store.put(PLAIN)
    with pytest.raises(OrderLeft):
        await store.put_if_unchanged(PLAIN, 0)
    with pytest.raises(OrderLeft, match="had order 'none'"):
        await store.put(replace(BOT, id="other"))
    await store.put(replace(PLAIN, id="third"))
    await store.put(BOT)  # with the order that it had

    await store.put(switching)
    await store.delete("acme", "bot")
    with pytest.raises(OrderLeft, match="had order 'switching'"):
        await store.put(BOT)
    clock.now += 150_000
    await store.put(PLAIN)
    assert (await store.load("acme"))[0] == PLAIN

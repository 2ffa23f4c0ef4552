"""Webhooks that are read before anybody asks for them: they spare lookups, and are never older than what is known."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.lookup.fakes import FakeStore, Rig, settle
from worker.domain.webhook import Endpoint, Webhook
from worker.lookup import ahead
from worker.lookup.ahead import ReadAhead
from worker.webhooks.store import Page, Stored, StoreUnavailable

OLD = Webhook("acme", "https://old.example/")
NEW = replace(OLD, url="https://new.example/")


class Pages:
    """A store's list, in pages, held until the test lets each go."""

    def __init__(self, *webhooks: Webhook) -> None:
        self.webhooks = sorted(webhooks, key=lambda webhook: (webhook.instance, webhook.id))
        self.asked: list[Endpoint | None] = []
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, after: Endpoint | None, limit: int) -> Page:
        self.asked.append(after)
        key = ("", "") if after is None else (after.instance, after.webhook_id)
        rest = [webhook for webhook in self.webhooks if (webhook.instance, webhook.id) > key]
        await self.go.wait()
        items = tuple(Stored(webhook, 1, 0, 0) for webhook in rest[:limit])
        return Page(items, items[-1].webhook.endpoint if len(rest) > limit else None)


async def read(rig: Rig, pages: Pages) -> ReadAhead:
    reading = ReadAhead(rig.cache, pages, rig.clock)
    reading.start()
    await settle()
    return reading


@pytest.mark.parametrize("page", [1, 2, 3, 250])
async def test_each_instance_is_known_whole_without_a_lookup(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "PAGE", page)
    rig, others = Rig(FakeStore()), [replace(OLD, id=f"w{number}") for number in range(3)]
    await (await read(rig, Pages(OLD, *others, replace(OLD, instance="zeta"), replace(OLD, instance="a")))).close()
    assert rig.cache.cached("acme") == (OLD, *others)
    assert [rig.cache.cached(name) for name in ("a", "zeta")] == [(replace(OLD, instance=n),) for n in ("a", "zeta")]
    assert rig.cache.cached("nobody") is None
    assert (rig.store.loads, rig.counts) == ([], {"hit": 3})
    rig.clock.now += 61
    assert rig.cache.cached("acme") is None


async def test_no_more_is_read_than_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "PAGE", 2)
    monkeypatch.setattr(ahead, "MOST_WEBHOOKS", 4)
    rig, pages = Rig(FakeStore()), Pages(*(replace(OLD, instance=f"i{number}") for number in range(10)))
    await read(rig, pages)
    assert len(pages.asked) == 2
    assert list(rig.cache.instances()) == ["i0", "i1", "i2"]  # of the fourth, more may follow


async def test_a_change_that_comes_while_a_page_is_read_wins() -> None:
    rig, pages = Rig(FakeStore(NEW)), Pages(OLD)
    pages.go.clear()
    await read(rig, pages)
    rig.cache.invalidate("acme", 7)
    pages.go.set()
    await settle()
    assert rig.cache.cached("acme") is None
    assert await rig.cache.find("acme") == (NEW,)


async def test_what_was_looked_up_meanwhile_or_is_being_looked_up_wins() -> None:
    rig, pages = Rig(FakeStore(NEW)), Pages(OLD)
    pages.go.clear()
    await read(rig, pages)
    assert await rig.cache.find("acme") == (NEW,)
    pages.go.set()
    await settle()
    assert rig.cache.cached("acme") == (NEW,)


async def test_when_changes_may_have_been_missed_what_was_begun_before_is_not_kept() -> None:
    rig, pages = Rig(FakeStore(NEW)), Pages(OLD)
    pages.go.clear()
    await read(rig, pages)
    rig.cache.invalidate_all()
    pages.go.set()
    await settle()
    assert rig.cache.cached("acme") is None


async def test_after_a_reconnect_what_is_old_is_read_anew_and_keeps_its_objects() -> None:
    rig = Rig(FakeStore(OLD))
    known = await rig.cache.find("acme")
    rig.clock.now += 1
    rig.cache.invalidate_all()
    assert rig.cache.cached("acme") is None
    rig.clock.now += 1
    await read(rig, Pages(replace(OLD)))
    assert rig.cache.cached("acme") is known
    assert rig.store.loads == ["acme"]


async def test_a_store_that_does_not_answer_is_left_alone() -> None:
    async def down(_: Endpoint | None, __: int) -> Page:
        raise StoreUnavailable("down")

    rig = Rig(FakeStore(OLD))
    reading = ReadAhead(rig.cache, down, rig.clock)
    reading.start()
    await settle()
    assert await rig.cache.find("acme") == (OLD,)
    await reading.close()

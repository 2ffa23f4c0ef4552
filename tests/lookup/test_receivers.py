"""Failing for long, as the store and this process's cache come to know of it."""

import logging
from dataclasses import replace

import pytest

from tests.lookup.fakes import DOWN, FakeStore, FakeWritableStore, Rig
from worker.domain.webhook import GLOBAL_ID, Webhook
from worker.lookup.gone import disabled
from worker.lookup.receivers import StoredReceivers

ACME = Webhook("acme", "http://h/acme")
OTHER = replace(ACME, id="other")


async def known(*rows: Webhook) -> tuple[FakeWritableStore, Rig, StoredReceivers]:
    """A store with these rows, all of them cached."""
    store = FakeWritableStore(*rows)
    rig = Rig(store, writable=True)
    await rig.cache.find("acme")
    return store, rig, rig.receivers


def cached(rig: Rig) -> dict[str, tuple[bool, int | None]]:
    return {webhook.id: (webhook.enabled, webhook.failing_since) for webhook in rig.cache.cached("acme") or ()}


async def test_the_start_is_written_and_known_here_at_once(caplog: pytest.LogCaptureFixture) -> None:
    store, rig, receivers = await known(ACME, OTHER)
    await receivers.failing(ACME, 1000)
    assert [row.failing_since for row in store.rows["acme"]] == [1000, None]
    assert cached(rig) == {"default": (True, 1000), "other": (True, None)}
    await receivers.recovered(ACME)
    assert cached(rig) == {"default": (True, None), "other": (True, None)}
    assert caplog.messages == []


async def test_giving_up_disables_in_store_and_cache_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    store, rig, receivers = await known(replace(ACME, failing_since=1000))
    await receivers.disable(ACME, "every attempt failed since long ago", if_failing=True)
    assert store.rows["acme"][0].disabled_reason == "every attempt failed since long ago"
    assert cached(rig) == {"default": (False, None)}
    assert "is disabled: every attempt failed since long ago" in caplog.text


async def test_one_that_recovered_elsewhere_meanwhile_is_not_given_up() -> None:
    store, rig, receivers = await known(replace(ACME, failing_since=1000))
    store.rows["acme"] = (ACME,)
    await receivers.disable(ACME, "no more", if_failing=True)
    assert rig.cache.cached("acme") is None, "it is looked up again"
    assert (await rig.cache.find("acme"))[0].enabled


async def test_a_store_that_is_down_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    store, rig, receivers = await known(ACME)
    store.error = DOWN
    with caplog.at_level(logging.WARNING):
        await receivers.failing(ACME, 1000)
        await receivers.recovered(ACME)
        await receivers.disable(ACME, "no more", if_failing=True)
    assert len(caplog.messages) == 3
    assert cached(rig) == {"default": (True, None)}


async def test_a_gone_receiver_of_a_store_that_is_down_is_disabled_in_memory_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, rig, receivers = await known(ACME, OTHER)
    store.error = DOWN
    await receivers.disable(ACME, "the receiver answered 410", if_failing=False)
    assert cached(rig) == {"default": (False, None), "other": (True, None)}
    assert "webhook default of acme is disabled in memory only" in caplog.text


async def test_the_global_webhook_is_disabled_in_memory_and_no_store_is_asked() -> None:
    everybodys = Webhook("", "http://h/global", id=GLOBAL_ID)
    rig = Rig(FakeWritableStore(ACME), writable=True, global_webhook=everybodys)
    for _ in range(2):
        await rig.receivers.disable(everybodys, "the receiver answered 410", if_failing=False)
    assert rig.cache.global_webhook == disabled(everybodys, "the receiver answered 410")
    rig.cache.invalidate_all()
    assert rig.cache.global_webhook is not None
    assert not rig.cache.global_webhook.enabled
    assert rig.store.rows == {"acme": (ACME,)}


async def test_what_a_read_only_store_cannot_remember_changes_nothing() -> None:
    store = FakeStore(ACME)
    rig = Rig(store)
    await rig.cache.find("acme")
    await rig.receivers.failing(ACME, 1000)
    await rig.receivers.recovered(ACME)
    await rig.receivers.disable(ACME, "it fails", if_failing=True)
    assert cached(rig) == {"default": (True, None)}


async def test_of_two_replicas_that_disable_it_the_one_that_wrote_the_row_says_so() -> None:
    store, first, _ = await known(ACME)
    second = Rig(store, writable=True)
    await second.cache.find("acme")
    for rig in (first, second, first):
        await rig.receivers.disable(ACME, "answered 410", if_failing=False)
    assert (first.said, second.said) == ([("default", "answered 410")], [])


async def test_what_is_disabled_in_memory_alone_is_said_by_nobody() -> None:
    store, rig, receivers = await known(ACME)
    store.error = DOWN
    await receivers.disable(ACME, "answered 410", if_failing=False)
    await receivers.disable(Webhook("", "http://all/", GLOBAL_ID), "answered 410", if_failing=False)
    assert rig.said == []

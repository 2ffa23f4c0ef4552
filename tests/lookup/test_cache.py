"""The cache's promises, on a store and a clock that do what the test says."""

import asyncio
import timeit
from dataclasses import replace

import pytest

from tests.lookup.fakes import DOWN, FakeStore, FakeWritableStore, Rig, settle
from worker.delivery.ports import ConfigUnavailable
from worker.domain.webhook import Endpoint, Webhook
from worker.webhooks.store import RowDamaged

ACME = Webhook("acme", "https://h.example/x")
NEW = replace(ACME, url="https://new.example/")
HERE = Endpoint("acme", "default")


async def test_a_found_webhook_is_served_without_a_query_until_its_time_is_over() -> None:
    rig = Rig(FakeStore(ACME))
    assert rig.cache.cached("acme") is None
    assert await rig.cache.find("acme") == (ACME,)
    rig.clock.now += 44
    assert rig.cache.cached("acme") == (ACME,)
    rig.clock.now += 16
    assert rig.cache.cached("acme") is None
    assert rig.store.loads == ["acme"]
    assert rig.counts == {"miss": 1, "hit": 1}


@pytest.mark.parametrize("ttl", [1e-300, 0.5, 60.0, 86_400.0, 3e7])
async def test_what_is_read_at_about_the_same_time_is_fresh_until_the_same_moment_and_no_longer_than_it(
    ttl: float,
) -> None:
    rig, until = Rig(FakeStore(), ttl=ttl), []
    rig.clock.now = 1e6
    step = min(ttl / 10_000, 0.01)
    for number in range(50):
        began = rig.clock.now - (3 * step if number % 4 == 3 else 0)  # some have taken longer
        name = f"bench-{number}"
        if number % 2:
            rig.cache.offer(name, [ACME], began)
        else:
            await rig.cache.find(name)
        until.append((began, rig.cache._entries[name].fresh_until))
        rig.clock.now += step
    shortest = ttl - min(max(ttl / 1000, 1e-6), 0.1)
    assert all(began + shortest - 1e-6 <= moment <= began + ttl + 1e-9 for began, moment in until)
    assert ttl < 1e-3 or len({id(moment) for _, moment in until}) <= 16


async def test_an_instance_without_webhooks_is_remembered_too() -> None:
    rig = Rig(FakeStore())
    assert await rig.cache.find("nobody") == ()
    assert rig.cache.cached("nobody") == ()
    assert rig.store.loads == ["nobody"]
    assert rig.counts == {"miss": 1, "negative": 1}


async def test_many_concurrent_misses_make_one_query() -> None:
    rig = Rig(FakeStore(ACME))
    rig.store.held = True
    finds = [asyncio.create_task(rig.cache.find("acme")) for _ in range(100)]
    await settle()
    rig.store.pending[0].succeed()
    assert await asyncio.gather(*finds) == [(ACME,)] * 100
    assert rig.store.loads == ["acme"]


async def test_a_cancelled_caller_takes_the_answer_from_nobody() -> None:
    rig = Rig(FakeStore(ACME))
    rig.store.held = True
    first, second = (asyncio.create_task(rig.cache.find("acme")) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    rig.store.pending[0].succeed()
    assert await second == (ACME,)
    assert first.cancelled()
    assert rig.store.loads == ["acme"]


async def test_a_busy_instance_is_refreshed_once_in_the_last_quarter_and_never_waits() -> None:
    rig = Rig(FakeStore(ACME))
    await rig.cache.find("acme")
    rig.store.rows["acme"] = (NEW,)
    rig.clock.now += 46
    rig.store.held = True
    assert [rig.cache.cached("acme") for _ in range(3)] == [(ACME,)] * 3
    await settle()
    assert rig.store.loads == ["acme"] * 2
    rig.store.pending[0].succeed()
    await settle()
    assert rig.cache.cached("acme") == (NEW,)
    rig.clock.now += 59
    assert rig.cache.cached("acme") == (NEW,)


async def test_a_refresh_ahead_that_fails_leaves_the_entry_to_its_end() -> None:
    rig = Rig(FakeStore(ACME))
    await rig.cache.find("acme")
    rig.clock.now += 46
    rig.store.error = DOWN
    for _ in range(3):
        assert rig.cache.cached("acme") == (ACME,)
        await settle()
    assert rig.store.loads == ["acme"] * 2


async def test_a_store_outage_serves_the_last_known_entry_however_old() -> None:
    rig = Rig(FakeStore(ACME))
    await rig.cache.find("acme")
    rig.store.error = DOWN
    rig.clock.now += 1_000_000
    assert await rig.cache.find("acme") == (ACME,)
    with pytest.raises(ConfigUnavailable, match="unknown"):
        await rig.cache.find("unknown")
    assert rig.counts == {"miss": 1, "stale": 1, "error": 1}


async def test_a_failing_store_is_left_alone_for_a_second_then_twice_that_and_so_on() -> None:
    rig = Rig(FakeStore())
    rig.store.error = DOWN
    asked_at = []
    for _ in range(200):
        before = len(rig.store.loads)
        with pytest.raises(ConfigUnavailable):
            await rig.cache.find("unknown")
        if len(rig.store.loads) > before:
            asked_at.append(rig.clock.now - 1000)
        rig.clock.now += 0.125
    assert asked_at == [0, 1, 3, 7, 12, 17, 22]


async def test_after_the_outage_the_next_allowed_query_brings_everything_back() -> None:
    rig = Rig(FakeStore(ACME))
    rig.store.error = DOWN
    with pytest.raises(ConfigUnavailable):
        await rig.cache.find("acme")
    rig.store.error = None
    rig.clock.now += 1
    assert await rig.cache.find("acme") == (ACME,)
    assert await rig.cache.find("other") == ()


async def test_during_an_outage_a_known_instance_does_not_wait_for_the_trial_query() -> None:
    rig = Rig(FakeStore(ACME))
    await rig.cache.find("acme")
    rig.clock.now += 61
    rig.store.error = DOWN
    await rig.cache.find("acme")
    rig.store.error, rig.store.held = None, True
    rig.clock.now += 2
    assert await rig.cache.find("acme") == (ACME,)  # at once, though the trial query hangs
    await settle()
    rig.store.pending[0].succeed()
    await settle()
    assert rig.cache.cached("acme") == (ACME,)


async def test_a_store_that_hangs_counts_as_failed() -> None:
    rig = Rig(FakeStore(ACME), timeout=0.01)
    await rig.cache.find("acme")
    rig.clock.now += 61
    rig.store.held = True
    assert await rig.cache.find("acme") == (ACME,)
    with pytest.raises(ConfigUnavailable):
        await rig.cache.find("unknown")
    assert rig.counts["stale"] == 1


async def test_a_damaged_row_hurts_its_own_instance_only() -> None:
    rig = Rig(FakeStore(ACME))
    rig.store.error = RowDamaged("column `events` is damaged")
    with pytest.raises(ConfigUnavailable):
        await rig.cache.find("broken")
    rig.store.error = None
    assert await rig.cache.find("acme") == (ACME,)


async def test_an_invalidated_entry_is_looked_up_again_and_others_stay() -> None:
    rig = Rig(FakeStore(ACME, replace(ACME, instance="other")))
    await rig.cache.find("acme")
    await rig.cache.find("other")
    rig.store.rows["acme"] = (NEW,)
    rig.cache.invalidate("acme", 2)
    assert rig.cache.cached("acme") is None
    assert rig.cache.cached("other") is not None
    assert await rig.cache.find("acme") == (NEW,)


async def test_an_invalidation_voids_what_was_known_to_be_absent() -> None:
    rig = Rig(FakeStore())
    await rig.cache.find("acme")
    rig.store.rows["acme"] = (ACME,)
    rig.cache.invalidate("acme", 1)
    assert await rig.cache.find("acme") == (ACME,)


@pytest.mark.parametrize("before", [(), (ACME,)])
async def test_a_query_that_began_before_an_invalidation_is_asked_again(before: tuple[Webhook, ...]) -> None:
    rig = Rig(FakeStore(*before))
    rig.store.held = True
    find = asyncio.create_task(rig.cache.find("acme"))
    await settle()
    rig.store.rows["acme"] = (NEW,)
    rig.cache.invalidate("acme", 2)
    rig.store.pending[0].succeed()
    await settle()
    assert not find.done()
    assert rig.cache.cached("acme") is None
    rig.store.pending[1].succeed()
    assert await find == (NEW,)


async def test_a_withdrawn_configuration_is_not_served_even_when_the_store_is_down() -> None:
    rig = Rig(FakeStore(ACME))
    await rig.cache.find("acme")
    rig.cache.invalidate("acme", 2)
    rig.store.error = DOWN
    with pytest.raises(ConfigUnavailable):
        await rig.cache.find("acme")


async def test_a_repeated_invalidation_costs_no_query() -> None:
    rig = Rig(FakeStore(ACME))
    rig.cache.invalidate("acme", 2)
    await rig.cache.find("acme")
    rig.cache.invalidate("acme", 2)
    assert rig.cache.cached("acme") == (ACME,)
    rig.cache.invalidate("acme", 1)  # a restored database counts from lower numbers again
    assert rig.cache.cached("acme") is None


async def test_after_a_reconnect_everything_is_asked_again_and_serves_in_need() -> None:
    rig = Rig(FakeStore(ACME))
    await rig.cache.find("acme")
    rig.cache.invalidate_all()
    assert rig.cache.cached("acme") is None
    rig.store.error = DOWN
    assert await rig.cache.find("acme") == (ACME,)
    rig.store.error = None
    rig.store.rows["acme"] = (NEW,)
    rig.clock.now += 16
    assert await rig.cache.find("acme") == (NEW,)


async def test_a_query_under_way_at_a_reconnect_is_asked_again() -> None:
    rig = Rig(FakeStore(ACME))
    rig.store.held = True
    find = asyncio.create_task(rig.cache.find("acme"))
    await settle()
    rig.store.rows["acme"] = (NEW,)
    rig.cache.invalidate_all()
    rig.store.pending[0].succeed()
    await settle()
    rig.store.pending[1].succeed()
    assert await find == (NEW,)


async def test_a_gone_receiver_is_disabled_in_the_store_and_at_once_in_the_cache() -> None:
    rig = Rig(FakeWritableStore(ACME), writable=True)
    await rig.cache.find("acme")
    await rig.receivers.disable(ACME, "gone", if_failing=False)
    off = replace(ACME, enabled=False, disabled_reason="gone")
    assert rig.cache.cached("acme") == (off,)
    assert rig.store.rows["acme"] == (off,)


@pytest.mark.parametrize("announced", [True, False])
async def test_a_webhook_that_its_owner_enables_after_a_410_is_enabled(announced: bool) -> None:
    rig = Rig(FakeWritableStore(ACME), writable=True)
    await rig.cache.find("acme")
    await rig.receivers.disable(ACME, "gone", if_failing=False)
    rig.store.rows["acme"] = (ACME,)
    if announced:
        rig.cache.invalidate("acme", 8)
    rig.clock.now += 61
    assert await rig.cache.find("acme") == (ACME,)


async def test_so_is_one_whose_410_could_not_be_written() -> None:
    rig = Rig(FakeWritableStore(ACME), writable=True)
    await rig.cache.find("acme")
    rig.store.error = DOWN
    await rig.receivers.disable(ACME, "gone", if_failing=False)
    rig.store.error = None
    rig.cache.invalidate("acme", 8)
    assert await rig.cache.find("acme") == (ACME,)


async def test_what_was_asked_before_a_410_was_written_does_not_enable_it_again() -> None:
    rig = Rig(FakeWritableStore(ACME), writable=True)
    await rig.cache.find("acme")
    rig.store.held = True
    rig.clock.now += 61
    find = asyncio.create_task(rig.cache.find("acme"))
    await settle()
    await rig.receivers.disable(ACME, "gone", if_failing=False)
    rig.store.pending[0].succeed()
    await settle()
    rig.store.pending[1].succeed()
    assert [webhook.enabled for webhook in await find] == [False]


@pytest.mark.parametrize("store", [FakeStore, FakeWritableStore])
async def test_what_cannot_be_written_is_remembered_until_the_webhook_changes(store: type[FakeStore]) -> None:
    second = replace(ACME, id="second")
    rig = Rig(store(ACME, second), writable=store is FakeWritableStore)
    await rig.cache.find("acme")
    rig.store.error = DOWN
    await rig.receivers.disable(ACME, "gone", if_failing=False)
    await rig.receivers.disable(second, "gone", if_failing=False)
    rig.store.error = None
    rig.clock.now += 61
    assert [webhook.enabled for webhook in await rig.cache.find("acme")] == [False, False]
    rig.store.rows["acme"] = (NEW, second)
    rig.clock.now += 61
    assert [webhook.enabled for webhook in await rig.cache.find("acme")] == [True, False]
    rig.store.rows["acme"] = (ACME, second)
    rig.clock.now += 61
    assert [webhook.enabled for webhook in await rig.cache.find("acme")] == [True, False]


async def test_a_late_410_of_the_old_address_does_not_disable_the_new_one() -> None:
    rig = Rig(FakeWritableStore(NEW), writable=True)
    await rig.cache.find("acme")
    await rig.receivers.disable(ACME, "gone", if_failing=False)
    assert rig.cache.cached("acme") == (NEW,)
    assert rig.store.rows["acme"] == (NEW,)


async def test_a_410_for_a_row_that_changed_unseen_makes_the_cache_look_again() -> None:
    rig = Rig(FakeWritableStore(ACME), writable=True)
    await rig.cache.find("acme")
    rig.store.rows["acme"] = (NEW,)
    await rig.receivers.disable(ACME, "gone", if_failing=False)
    assert await rig.cache.find("acme") == (NEW,)


async def test_disabling_something_unknown_does_nothing() -> None:
    rig = Rig(FakeWritableStore(), writable=True)
    await rig.receivers.disable(ACME, "gone", if_failing=False)
    assert await rig.cache.find("acme") == ()


async def test_the_entries_looked_up_longest_ago_go_first() -> None:
    rig = Rig(FakeStore(), max_entries=3)
    for name in ("a", "b", "c"):
        await rig.cache.find(name)
    rig.clock.now += 50
    rig.cache.cached("a")  # in use, so it is looked up again ahead
    await settle()
    await rig.cache.find("d")
    assert [rig.cache.cached(name) for name in "abcd"] == [(), None, (), ()]


async def test_a_refresh_that_finds_nothing_new_keeps_the_objects() -> None:
    rig = Rig(FakeStore(Webhook("acme", "https://a.example/")))
    (before,) = await rig.cache.find("acme")
    rig.clock.now += 50
    rig.store.rows["acme"] = (replace(before),)
    rig.cache.cached("acme")
    await settle()
    rig.clock.now += 20
    assert rig.cache.cached("acme")[0] is before


async def test_a_refresh_that_finds_the_start_of_a_failing_takes_it_over() -> None:
    rig = Rig(FakeStore(Webhook("acme", "https://a.example/")))
    (before,) = await rig.cache.find("acme")
    rig.clock.now += 50
    rig.store.rows["acme"] = (replace(before, failing_since=7),)
    rig.cache.cached("acme")
    await settle()
    assert rig.cache.cached("acme")[0].failing_since == 7


async def test_an_entry_larger_than_the_whole_cache_is_not_kept() -> None:
    rig = Rig(FakeStore(), max_bytes=10_000)
    await rig.cache.find("a")
    assert await rig.cache.find("x" * 10_000) == ()
    assert rig.cache.cached("x" * 10_000) is None


async def test_closing_ends_the_queries_under_way() -> None:
    rig = Rig(FakeStore())
    rig.store.held = True
    find = asyncio.create_task(rig.cache.find("acme"))
    await settle()
    await rig.cache.close()
    with pytest.raises(asyncio.CancelledError):
        await find


async def test_a_hit_costs_about_a_microsecond() -> None:
    rig = Rig(FakeStore(ACME))
    await rig.cache.find("acme")
    cached = rig.cache.cached
    seconds = min(timeit.repeat(lambda: cached("acme"), number=2000, repeat=5)) / 2000
    assert seconds < 20e-6  # ten times what a slow machine takes: this only guards against a new order of cost


async def test_a_long_time_to_live_does_not_make_the_recovery_late() -> None:
    rig = Rig(FakeStore(), ttl=86_400)
    rig.store.error = DOWN
    asked_at = []
    for _ in range(100):
        before = len(rig.store.loads)
        with pytest.raises(ConfigUnavailable):
            await rig.cache.find("unknown")
        if len(rig.store.loads) > before:
            asked_at.append(rig.clock.now - 1000)
        rig.clock.now += 1
    assert asked_at == [0, 1, 3, 7, 15, 30, 45, 60, 75, 90]


async def test_a_fault_of_ours_in_the_store_is_an_unavailable_store_for_that_instance_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(FakeStore(ACME))
    await rig.cache.find("acme")
    rig.clock.now += 61
    rig.store.error = KeyError("a column that nobody expected")
    with pytest.raises(ConfigUnavailable):
        await rig.cache.find("unknown")
    assert await rig.cache.find("acme") == (ACME,)
    assert "Traceback" in caplog.text
    assert "a column that nobody expected" in caplog.text
    rig.store.error = None
    assert await rig.cache.find("unknown") == ()

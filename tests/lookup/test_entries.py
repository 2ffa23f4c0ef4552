"""The cache's memory stays within what it was told."""

import tracemalloc
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.lookup.fakes import FakeStore, Rig
from worker.domain.choosing.subscriptions import subscriptions
from worker.domain.request.template import template_of
from worker.domain.webhook import Webhook
from worker.lookup.entries import Entry, approximate_bytes


def webhook(number: int) -> Webhook:
    name = f"instance-{number}"
    return Webhook(
        instance=name,
        url=f"https://receiver-{number}.example/hook",
        events=frozenset(f"EVENT_{number}_{index}" for index in range(5)),
        headers=((f"X-Tenant-{number}", f"tenant-{number}"),),
        secrets=(f"whsec_{number:044}",),
    )


async def measured_bytes(rig: Rig, make: Callable[[int], Webhook], count: int) -> float:
    """What each of `count` instances takes, once its first delivery has been routed."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(count):
        rig.store.rows[f"instance-{number}"] = (make(number),)
        for found in await rig.cache.find(f"instance-{number}"):
            template_of(found)
        del rig.store.rows[f"instance-{number}"]
        rig.store.loads.clear()
    urlsplit.cache_clear()  # the last URLs of anybody, which have their own bound
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / count


async def test_the_estimate_of_an_entrys_memory_is_near_the_truth() -> None:
    measured = await measured_bytes(Rig(FakeStore()), webhook, 1000)
    estimate = approximate_bytes("instance-500", (webhook(500),))
    assert 0.66 < estimate / measured < 1.5, f"estimated {estimate}, measured {measured:.0f} bytes"


async def test_long_texts_are_counted_as_often_as_they_are_kept() -> None:
    """The URL, its path and the body's member; headers as they were given and as they are sent."""

    def wordy(number: int) -> Webhook:
        return Webhook(
            f"instance-{number}", f"https://h.example/{number}/{'x' * 2000}", headers=(("x-long", f"{number:08000}"),)
        )

    measured = await measured_bytes(Rig(FakeStore()), wordy, 100)
    estimate = approximate_bytes("instance-50", (wordy(50),))
    assert 0.66 < estimate / measured < 1.5, f"estimated {estimate}, measured {measured:.0f} bytes"


async def test_the_bytes_kept_never_exceed_the_bound() -> None:
    rig = Rig(FakeStore(*(webhook(number) for number in range(200))), max_bytes=80_000)
    for number in range(200):
        await rig.cache.find(f"instance-{number}")
    kept = [number for number in range(200) if rig.cache.cached(f"instance-{number}") is not None]
    assert sum(approximate_bytes(f"instance-{n}", (webhook(n),)) for n in kept) <= 80_000
    assert kept == list(range(200 - len(kept), 200))
    assert len(kept) > 20


def test_an_instance_that_was_made_anew_has_its_new_id() -> None:
    entry = Entry(subscriptions([Webhook("acme", "https://h/x", instance_id="first")]), 0.0, lambda: None, None)
    assert entry.still(subscriptions([Webhook("acme", "https://h/x", instance_id="first")])) is entry.webhooks
    (found,) = entry.still(subscriptions([Webhook("acme", "https://h/x", instance_id="second")]))
    assert found.instance_id == "second"


async def test_what_a_webhook_chooses_is_counted() -> None:
    """What decodes the paths is shared by all that ask for the same, and is there before."""

    def choosing(number: int) -> Webhook:
        filter_ = f'{{"data.key.fromMe":false,"data.pushName":{{"$ne":"{number}"}}}}'
        return Webhook(f"instance-{number}", "https://h.example/x", ignore=frozenset({"groups"}), filter=filter_)

    rig = Rig(FakeStore(choosing(-1)))
    await rig.cache.find("instance--1")
    measured = await measured_bytes(rig, choosing, 100)
    estimate = approximate_bytes("instance-50", (choosing(50),))
    assert 0.66 < estimate / measured < 2, f"estimated {estimate}, measured {measured:.0f} bytes"


async def test_the_cache_compiles_what_webhooks_choose_and_says_who_chooses_nothing() -> None:
    rig = Rig(FakeStore(Webhook("acme", "https://h.example/x", ignore=frozenset({"groups"})), webhook(1)))
    found = await rig.cache.find("acme")
    assert found.looks_into
    assert found.plan is not None
    assert rig.cache.cached("acme") is found
    plain = await rig.cache.find("instance-1")
    assert (plain.looks_into, plain.plan) == (False, None)
    rig.cache.amend(found[0], Webhook("acme", "https://h.example/x"))
    amended = rig.cache.cached("acme")
    assert amended is not None
    assert not amended.looks_into

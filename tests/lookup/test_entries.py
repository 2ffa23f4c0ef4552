"""The cache's memory stays within what it was told."""

import tracemalloc

from tests.lookup.fakes import FakeStore, Rig
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


async def test_the_estimate_of_an_entrys_memory_is_near_the_truth() -> None:
    rig = Rig(FakeStore())
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(1000):
        rig.store.rows[f"instance-{number}"] = (webhook(number),)
        await rig.cache.find(f"instance-{number}")
        del rig.store.rows[f"instance-{number}"]
        rig.store.loads.clear()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    measured = (after - before) / 1000
    estimate = approximate_bytes("instance-500", (webhook(500),))
    assert 0.66 < estimate / measured < 1.5, f"estimated {estimate}, measured {measured:.0f} bytes"


async def test_the_bytes_kept_never_exceed_the_bound() -> None:
    rig = Rig(FakeStore(*(webhook(number) for number in range(200))), max_bytes=50_000)
    for number in range(200):
        await rig.cache.find(f"instance-{number}")
    kept = [number for number in range(200) if rig.cache.cached(f"instance-{number}") is not None]
    assert sum(approximate_bytes(f"instance-{n}", (webhook(n),)) for n in kept) <= 50_000
    assert kept == list(range(200 - len(kept), 200))
    assert len(kept) > 20


def test_an_instance_that_was_made_anew_has_its_new_id() -> None:
    entry = Entry((Webhook("acme", "https://h/x", instance_id="first"),), 0.0, lambda: None, None)
    assert entry.still((Webhook("acme", "https://h/x", instance_id="first"),)) is entry.webhooks
    (found,) = entry.still((Webhook("acme", "https://h/x", instance_id="second"),))
    assert found.instance_id == "second"

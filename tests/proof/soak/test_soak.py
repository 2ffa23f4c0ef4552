"""The short form of `make soak`, which proves the ledger and the reconnects; and proof that growth is seen."""

from __future__ import annotations

import gc
import logging
from dataclasses import replace

import pytest

from tests.proof.soak.disturbances import DISTURBANCES
from tests.proof.soak.run import Load, run
from tests.proof.soak.verdict import MIB, Sample, changes
from tests.support.local_broker import LocalBroker


@pytest.mark.timeout(120)
async def test_a_worker_whose_connections_are_cut_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Its own broker: it closes everybody's connections."""
    caplog.set_level(logging.CRITICAL)  # client libraries tell at length of connections that were cut
    with LocalBroker() as broker:
        report = await run(Load(seconds=5, rate=60, every=0.2, sample=0.25, least=len(DISTURBANCES)), broker)
    gc.collect()  # aio_pika closes what it failed to open when it is collected: while there is a loop
    assert report.problems == []
    assert set(report.disturbances) == set(DISTURBANCES)
    assert report.reconnects >= 4
    assert report.figures.events > 200
    assert all(sample.memory > MIB and sample.tasks > 5 and sample.descriptors > 10 for sample in report.samples)


def samples(memory: float = 0, tasks: float = 0, descriptors: float = 0) -> list[Sample]:
    """A hundred, rising by so much (MiB, tasks, descriptors) from the second fifth's middle to the last one's."""
    rises = (n / 60 for n in range(100))
    return [Sample((80 + memory * rise) * MIB, 30 + tasks * rise, 90 + descriptors * rise, 50) for rise in rises]


def growing(found: list[Sample]) -> list[str]:
    return [change.bound.name for change in changes(found) if not change.flat]


def test_what_rises_within_its_bounds_is_flat() -> None:
    assert growing(samples(memory=3.9, tasks=3.9, descriptors=3.9)) == []


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (samples(memory=4.1), ["memory, MiB"]),
        (samples(tasks=4.1), ["asyncio tasks"]),
        (samples(memory=4.1, descriptors=4.1), ["memory, MiB", "file descriptors without the receiver's"]),
    ],
)
def test_each_growth_is_seen_and_named(found: list[Sample], named: list[str]) -> None:
    assert growing(found) == named


def test_the_warm_up_and_a_peak_are_no_growth_and_a_fall_is_none() -> None:
    flat = samples()
    warm_up = [Sample(1, 1, 1, 0)] * 20
    peak = [Sample(500 * MIB, 300, 500, 100)] * 3
    found = [*warm_up, *flat[20:60], *peak, *flat[63:]]
    assert growing(found) == []
    assert [change.highest for change in changes(found)] == [500, 300, 400]
    assert growing(samples(memory=-30, tasks=-9, descriptors=-9)) == []


def test_connections_to_the_receiver_are_not_counted_but_those_it_has_closed_are() -> None:
    flat, last = samples()[:80], samples()[80:]
    assert growing([*flat, *(replace(one, descriptors=140, connections=100) for one in last)]) == []
    assert growing([*flat, *(replace(one, descriptors=140) for one in last)]) == [
        "file descriptors without the receiver's"
    ]


def test_too_few_samples_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="4 samples"):
        changes(samples()[:4])

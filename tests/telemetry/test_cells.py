"""What Prometheus reads of the cells is what it would read of its library's own counters and histograms."""

import math

import prometheus_client
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import generate_latest

from worker.telemetry.cells import Counter, Histogram

SERIES = [("Delivered", "ok"), ("Skipped", 'a"b\\c'), ("Retried", "5xx")]
BOUNDS = (0.01, 0.5, 1, 2.5, 86400)


@given(
    st.lists(st.sampled_from(SERIES)),
    st.integers(0, 5),
    st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(0, 1e6), st.just(math.inf))),
)
def test_a_scrape_reads_the_same_as_of_the_librarys_own(
    counted: list[tuple[str, str]], alone: int, observed: list[float]
) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    plain, ours = CollectorRegistry(), CollectorRegistry()
    labelled = prometheus_client.Counter("deliveries", "Text.", ["outcome", "reason"], registry=plain)
    single = prometheus_client.Counter("started", "Text.", registry=plain)
    times = prometheus_client.Histogram("seconds", "Text.", buckets=BOUNDS, registry=plain)
    children = {each: labelled.labels(*each) for each in SERIES}
    cells = Counter("deliveries", "Text.", ["outcome", "reason"], SERIES, registry=ours).cells
    cell = Counter("started", "Text.", registry=ours).cells[()]
    histogram = Histogram("seconds", "Text.", BOUNDS, registry=ours)
    for each in counted:
        children[each].inc()
        cells[each].inc()
    for _ in range(alone):
        single.inc()
        cell.inc()
    for seconds in observed:
        times.observe(seconds)
        histogram.observe(seconds)
    assert generate_latest(ours) == generate_latest(plain)

"""Metrics that alerts and dashboard read and the worker does not have yet: empty once they are all there."""

from __future__ import annotations

PLANNED = frozenset(
    f"webhook_worker_{name}"
    for name in (
        "consuming",
        "draining",
        "endpoint_open_longest_seconds",
        "lane_wait_seconds_bucket",
        "oldest_event_age_seconds",
        "oldest_unconfirmed_publish_seconds",
        "publish_failures_total",
    )
)

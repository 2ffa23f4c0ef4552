"""Metrics that alerts and dashboard read and the worker does not have yet: empty once they are all there."""

from __future__ import annotations

PLANNED: frozenset[str] = frozenset()

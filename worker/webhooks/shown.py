"""Moved to worker.configuration.shown."""

from worker.configuration.shown import MASK, Shown, masked_url, shown, shown_stored, table

__all__ = ["MASK", "Shown", "masked_url", "shown", "shown_stored", "table"]

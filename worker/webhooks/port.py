"""Moved to worker.configuration.port."""

from worker.configuration.port import Deleted, Page, RowDamaged, Store, Stored, StoreUnavailable, WritableStore, Written

__all__ = ["Deleted", "Page", "RowDamaged", "Store", "StoreUnavailable", "Stored", "WritableStore", "Written"]

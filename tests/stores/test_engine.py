"""What a database's errors mean to whoever asked."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from worker.stores.database import parse
from worker.stores.engine import errors_mapped
from worker.webhooks.store import StoreUnavailable


def test_when_every_connection_is_busy_it_says_so_and_what_to_do() -> None:
    engine = create_engine("sqlite://", poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with engine.connect(), pytest.raises(StoreUnavailable) as told, errors_mapped(parse("postgresql://h/d")):
        engine.connect()
    engine.dispose()
    assert str(told.value).endswith("none was free within 5 s: try again")
    assert "sqlalche.me" not in str(told.value)

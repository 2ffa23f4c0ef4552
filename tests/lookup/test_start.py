"""The start of the process stays fast: SQLAlchemy's import (0.4 s) is not on the way of the first delivery."""

import subprocess
import sys
from pathlib import Path

START = """
import asyncio, sys
from worker.stores.own.store import SqlStore
import worker.lookup.cache

async def start(uri):
    store = SqlStore(uri, lambda: 0)
    await store.check()
    await store.migrate()
    await store.load("acme")
    await store.close()

asyncio.run(start(sys.argv[1]))
print("sqlalchemy" in sys.modules)
"""


def test_only_the_first_start_on_a_new_file_imports_sqlalchemy(tmp_path: Path) -> None:
    command = [sys.executable, "-c", START, f"sqlite:///{tmp_path}/webhooks.db"]
    printed = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2)]
    assert printed == ["True\n", "False\n"]

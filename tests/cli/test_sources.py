"""What commands do by the kind of WEBHOOK_SOURCE, and how little they import for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker.cli import main
from worker.process import sources

EVOLUTION = {"WEBHOOK_SOURCE": "evolution", "DATABASE_CONNECTION_URI": "postgresql://u@db.example/evolution"}

LIST = """
import sys
from worker.cli import main
assert main(["webhook", "list"]) == 0
heavy = ("aio_pika", "aiormq", "aiohttp", "prometheus_client", "worker.process.wiring", "worker.stores.evolution.store")
print(*(name for name in heavy if name in sys.modules))
"""


def file_source(folder: Path) -> dict[str, str]:
    file = folder / "webhooks.toml"
    file.write_text("")
    return {"WEBHOOK_SOURCE": "file", "WEBHOOK_FILE": str(file)}


def test_migrate_has_nothing_to_do_where_others_keep_the_webhooks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Known without the database's driver, which is not asked for."""
    monkeypatch.setattr(sources, "find_spec", lambda _: None)
    for environment in (EVOLUTION, file_source(tmp_path)):
        monkeypatch.setattr(os, "environ", environment)
        assert main(["migrate"]) == 0
        assert capsys.readouterr().out == f"nothing to migrate with WEBHOOK_SOURCE={environment['WEBHOOK_SOURCE']}\n"


def test_import_writes_no_table_but_the_workers_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for environment in (EVOLUTION, file_source(tmp_path)):
        monkeypatch.setattr(os, "environ", environment)
        assert main(["webhook", "import", "--from", "file", str(tmp_path / "webhooks.toml"), "--apply"]) == 1
        said = f"import writes the worker's own table, and WEBHOOK_SOURCE is {environment['WEBHOOK_SOURCE']}"
        assert capsys.readouterr().err == f"webhook-worker: {said}\n"


def test_the_webhook_commands_import_no_client_and_no_other_store(tmp_path: Path) -> None:
    environment = {**os.environ, "DATABASE_CONNECTION_URI": f"sqlite:///{tmp_path}/webhooks.db"}
    migrate = [sys.executable, "-m", "worker", "migrate"]
    subprocess.run(migrate, check=True, capture_output=True, env=environment)
    done = subprocess.run([sys.executable, "-c", LIST], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == ""

"""DISABLED_WEBHOOK=replay on the command line: who enables a webhook asks for what it missed."""

import json
import os
from pathlib import Path

import pytest

from worker.cli import main

SET = ("webhook", "set", "acme", "--url", "http://127.0.0.1:1/")


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = {
        "DATABASE_CONNECTION_URI": f"sqlite:///{tmp_path}/webhooks.db",
        "HISTORY_DATABASE_URI": f"sqlite:///{tmp_path}/history.db",
        "RABBITMQ_URI": "amqp://127.0.0.1:1/",
        "HISTORY": "all",
        "ARCHIVE": "true",
        "DISABLED_WEBHOOK": "replay",
    }
    monkeypatch.setattr(os, "environ", found)
    return found


def resumes(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, str]]:
    """Instance, webhook and kind of each job there is."""
    capsys.readouterr()
    assert main(["replays", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return [(job["instance"], job["webhook"], job["kind"]) for job in found]


def test_set_enabled_asks_for_what_was_missed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SET, "--no-enabled"]) == 0
    assert resumes(capsys) == []
    assert main([*SET, "--enabled"]) == 0
    assert resumes(capsys) == [("acme", "default", "resume")]


def test_import_asks_for_what_was_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SET, "--no-enabled"]) == 0
    source = tmp_path / "webhooks.toml"
    source.write_text('[[webhook]]\ninstance = "acme"\nurl = "http://127.0.0.1:1/"\n')
    assert main(["webhook", "import", "--from", "file", str(source)]) == 0
    assert resumes(capsys) == []
    assert main(["webhook", "import", "--from", "file", str(source), "--apply"]) == 0
    assert resumes(capsys) == [("acme", "default", "resume")]


def test_with_skip_nothing_is_asked_for(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    environment["DISABLED_WEBHOOK"] = "skip"
    assert main([*SET, "--no-enabled"]) == 0
    assert main([*SET, "--enabled"]) == 0
    assert resumes(capsys) == []

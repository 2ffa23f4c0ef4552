"""`webhook set` and `webhook get` say in text what a webhook chose."""

import os
from pathlib import Path

import pytest

from worker.cli import main


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"sqlite:///{tmp_path}/webhooks.db"
    found = {"DATABASE_CONNECTION_URI": uri, "RABBITMQ_URI": "amqp://127.0.0.1:1/", "HISTORY": "off"}
    monkeypatch.setattr(os, "environ", found)


def test_choices_are_shown_where_there_are_some(capsys: pytest.CaptureFixture[str]) -> None:
    address = ["acme", "--url", "http://127.0.0.1:1/"]
    assert main(["webhook", "set", *address]) == 0
    assert "chooses" not in capsys.readouterr().out
    assert main(["webhook", "set", *address, "--ignore", "groups,from_me", "--max-body-bytes", "4096"]) == 0
    line = "default chooses: ignore from_me,groups; max_body_bytes 4096\n"
    assert line in capsys.readouterr().out
    assert main(["webhook", "get", "acme"]) == 0
    assert line in capsys.readouterr().out
    assert main(["webhook", "set", "acme", "--ignore", "", "--max-body-bytes", ""]) == 0
    assert "chooses" not in capsys.readouterr().out


def test_what_is_refused_on_the_command_line_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    address = ["acme", "--url", "http://127.0.0.1:1/"]
    assert main(["webhook", "set", *address, "--ignore", "groups", "--filter", '{"data.n":1}']) == 0
    for wrong in (["--ignore", ",,"], ["--filter", '{"data":{"n":1,"n":2}}'], ["--ttl-seconds", "CALL=1,call=2"]):
        assert main(["webhook", "set", "acme", *wrong]) == 2
    assert "filter.data.n: is there twice" in capsys.readouterr().err
    assert main(["webhook", "get", "acme"]) == 0
    assert 'default chooses: ignore groups; filter {"data.n":1}\n' in capsys.readouterr().out

"""Options of `webhook set` that name a file which holds the value."""

from pathlib import Path

import pytest

from tests.support.tls import Authority
from worker.cli import main

SET = ("webhook", "set", "acme", "--url", "https://h.example/", "--ca-file")


@pytest.fixture(autouse=True)
def own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_CONNECTION_URI", f"sqlite:///{tmp_path / 'webhooks.db'}")
    monkeypatch.setenv("RABBITMQ_URI", "amqp://guest:guest@127.0.0.1:1/")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\x30\x82\xff", "is no text"),
        (b"x", "holds no certificate"),
    ],
)
def test_a_file_that_cannot_be_used_is_wrong_usage(
    content: bytes | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ca.der"
    if content is not None:
        path.write_bytes(content)
    assert main([*SET, str(path)]) == 2
    assert why in capsys.readouterr().err


def test_the_value_is_the_files_content_and_an_empty_name_takes_it_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority()
    path = authority.write_certificate(tmp_path / "ca.pem")
    for name, shown in ((str(path), True), ("", False)):
        assert main([*SET, name, "--json"]) == 0
        assert ("BEGIN CERTIFICATE" in capsys.readouterr().out) is shown

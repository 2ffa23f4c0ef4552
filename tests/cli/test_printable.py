"""Names that others chose, in what the commands print: a line each, and no terminal takes one for a command."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.basics.test_printable import ODD
from worker.basics.printable import printable
from worker.cli import common, main
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

NAME = "evil" + "".join(char for char in ODD if not "\ud800" <= char <= "\udfff" and char != "\0")
PLAIN = "ça 😀"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    uri = f"sqlite:///{tmp_path}/webhooks.db"

    async def fill() -> None:
        store = SqlStore(uri, lambda: 0)
        await store.migrate()
        await store.put(Webhook(NAME, "https://h.example/x"))
        await store.put(Webhook(PLAIN, "https://h.example/x"))
        await store.close()

    asyncio.run(fill())
    found = {"DATABASE_CONNECTION_URI": uri, "RABBITMQ_URI": "amqp://127.0.0.1:1/"}
    monkeypatch.setattr(os, "environ", found)
    return found


@pytest.mark.parametrize(
    "command",
    [["list"], ["get", NAME], ["delete", "nobody" + NAME], ["export"], ["list", "--json"], ["export", "--json"]],
)
def test_a_name_cannot_forge_a_line(
    environment: dict[str, str], capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    main(["webhook", *command])
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert "evil" in text
    assert set(text) & set(ODD) <= {"\n"}
    assert not any(line.startswith(("\r", "evil")) and printable(NAME) not in line for line in text.split("\n"))


def test_json_for_programs_says_the_same_names(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["webhook", "list", "--json"]) == 0
    assert {webhook["instance"] for webhook in json.loads(capsys.readouterr().out)} == {NAME, PLAIN}


def test_an_export_is_read_back_as_it_was(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["webhook", "export"]) == 0
    names = {table["instance"] for table in tomllib.loads(capsys.readouterr().out)["webhook"]}
    assert names == {NAME, PLAIN}


def test_complaints_and_refused_arguments_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    common.complain(f"no {NAME}")
    common.say(f"yes {NAME}")
    with pytest.raises(SystemExit):
        main(["webhook", "list", f"--{NAME}"])
    captured = capsys.readouterr()
    assert captured.out == printable(f"yes {NAME}") + "\n"
    assert captured.err.startswith(printable(f"webhook-worker: no {NAME}") + "\n")
    assert set(captured.err) & set(ODD) == {"\n"}


@pytest.mark.parametrize("encoding", ["ascii", "ascii:strict", "latin-1", "utf-8"])
def test_a_terminal_that_lacks_a_character_gets_its_number(environment: dict[str, str], encoding: str) -> None:
    def run(*command: str) -> bytes:
        settings = {**environment, "PATH": os.defpath, "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-m", "worker", *command], check=True, capture_output=True, env=settings)
        return done.stdout

    codec = encoding.partition(":")[0]
    assert {item["instance"] for item in json.loads(run("webhook", "list", "--json").decode(codec))} == {NAME, PLAIN}
    table = run("webhook", "list").decode(codec)
    assert (PLAIN if codec == "utf-8" else "\\ud83d\\ude00") in table
    assert len(table.split("\n")) == 4
    assert tomllib.loads(run("webhook", "export").decode())["webhook"][0]["instance"] in (NAME, PLAIN)

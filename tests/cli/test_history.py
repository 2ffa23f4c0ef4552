"""`history list` and `show`, and the health in `webhook get`, on a real SQLite file."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.history.fakes import row
from worker.cli import main
from worker.domain.history import Batch, Row
from worker.stores.history.store import history_store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Exit code, output and errors of a command whose databases are in `tmp_path`."""

    def ran(*arguments: str, **settings: str) -> tuple[int, str, str]:
        monkeypatch.setattr(
            os, "environ", {"DATABASE_CONNECTION_URI": f"sqlite:///{tmp_path / 'webhooks.db'}", **settings}
        )
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return ran


def now_ms() -> int:
    return int(time.time() * 1000)


def write(tmp_path: Path, *rows: Row) -> None:
    async def written() -> None:
        store = history_store(f"sqlite:///{tmp_path / 'history.db'}", 7, now_ms)
        await store.prepare()
        await store.write([Batch("run-1", 0, "pod-1", rows)])
        await store.close()

    asyncio.run(written())


def failed(ago: int, **changed: object) -> Row:
    error = "the receiver answered 500"
    return row(now_ms() - ago, outcome="Retried", reason="5xx", status=500, error=error, answer="boom")._replace(
        **changed
    )


def test_rows_are_listed_newest_first_and_filtered(run: Run, tmp_path: Path) -> None:
    write(tmp_path, failed(3000, id="msg_a"), row(now_ms() - 2000, id="msg_a", attempt=2), failed(1000, id="msg_b"))
    code, output, _ = run("history", "list", "--json")
    assert code == 0
    assert [item["id"] for item in json.loads(output)] == ["msg_b", "msg_a", "msg_a"]
    code, output, _ = run("history", "list", "--outcome", "retried", "--status", "500", "--limit", "1")
    _, first, more = output.splitlines()
    assert (code, more) == (0, "1 shown: more by --limit N, older ones by --until TIME")
    assert "msg_b" in first
    assert "the receiver answered 500" in first
    code, output, _ = run("history", "list", "--limit", "3")
    assert (code, len(output.splitlines())) == (0, 4)


def test_a_page_is_no_bound(run: Run, tmp_path: Path) -> None:
    write(tmp_path, *(row(now_ms() - n, id=f"msg_{n}") for n in range(620)))
    _, output, _ = run("history", "list", "--json", "--limit", "610")
    assert len({item["id"] for item in json.loads(output)}) == 610


def test_one_delivery_is_told_as_a_story(run: Run, tmp_path: Path) -> None:
    write(tmp_path, failed(3000, id="msg_a"), row(now_ms(), id="msg_a", attempt=2))
    code, output, _ = run("history", "show", "msg_a")
    assert code == 0
    assert output.index("attempt 1") < output.index("answer: boom") < output.index("attempt 2")
    _, output, _ = run("history", "show", "msg_a", "--json")
    assert [item["attempt"] for item in json.loads(output)["items"]] == [1, 2]


def test_what_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    code, _, error = run("history", "list")
    assert (code, "there is no history yet" in error) == (1, True)
    assert not (tmp_path / "history.db").exists()
    write(tmp_path, failed(0))
    code, _, error = run("history", "show", "msg_never")
    assert (code, "no delivery 'msg_never'" in error) == (1, True)
    code, output, _ = run("history", "list", "--instance", "nobody")
    assert (code, output.startswith("no rows")) == (0, True)
    assert run("history", "list", HISTORY="off")[0] == 1


def test_every_bad_filter_is_wrong_usage(run: Run) -> None:
    code, _, error = run("history", "list", "--status", "many", "--since", "soon")
    assert code == 2
    assert "--status must be a status code" in error
    assert "--since must be an age" in error


def test_a_webhook_is_shown_with_its_health(run: Run, tmp_path: Path) -> None:
    assert run("webhook", "set", "acme", "--url", "https://h.invalid/x")[0] == 0
    code, output, _ = run("webhook", "get", "acme", "--json")
    assert (code, json.loads(output)[0]["health"]) == (0, None)
    assert not (tmp_path / "history.db").exists()
    write(tmp_path, failed(3000), row(now_ms(), attempt=2))
    _, output, _ = run("webhook", "get", "acme", "--json")
    assert json.loads(output)[0]["health"]["hour"] == {"attempts": 2, "success": 0.5}
    _, output, _ = run("webhook", "get", "acme")
    assert "default: 1 of 2 attempts succeeded within the hour" in output

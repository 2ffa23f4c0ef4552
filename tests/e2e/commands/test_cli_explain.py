"""`webhook explain` and `webhook test --event-file`, as operators type them."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.receiver import Receiver
from worker.cli import main
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

EVENT = {
    "event": "messages.upsert",
    "instance": "acme",
    "data": {"key": {"remoteJid": "5511999999999@s.whatsapp.net", "fromMe": True}, "base64": "aGVsbG8="},
}
Cli = Callable[..., tuple[int, str, str]]


async def fill(uri: str, *webhooks: Webhook) -> None:
    store = SqlStore(uri, lambda: 1)
    await store.migrate()
    for webhook in webhooks:
        await store.put(webhook)
    await store.close()


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("explain", ...)` is `webhook-worker webhook explain ...`; the database is the test's own."""
    monkeypatch.setattr(os, "environ", {"DATABASE_CONNECTION_URI": uri(tmp_path), "EGRESS_ALLOW": "127.0.0.0/8"})

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["webhook", *arguments])
        return code, *capsys.readouterr()

    return run


def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'webhooks.db'}"


def event_file(tmp_path: Path) -> str:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(EVENT))
    return str(path)


def test_each_webhook_is_explained_with_the_clause_that_decided(cli: Cli, tmp_path: Path) -> None:
    first = Webhook("acme", "https://u:p@h.example/x", filter='{"data.key.fromMe":false}')
    second = Webhook("acme", "https://u:p@h.example/y", id="second", ttl_seconds=(("MESSAGES_UPSERT", 60.0),))
    asyncio.run(fill(uri(tmp_path), first, second))
    code, said, _ = cli("explain", "acme", "--event-file", event_file(tmp_path))
    assert code == 0
    assert said.splitlines()[0] == "default: skip (filtered): filter.data.key.fromMe: true is not false"
    assert said.splitlines()[1].startswith("second: send to https://***@h.example/y, ")
    assert said.rstrip().endswith("bytes, unless it is older than 60 s when its attempt starts (stale)")
    found = json.loads(cli("explain", "acme", "--event-file", event_file(tmp_path), "--json")[1])
    assert [(each["id"], each["would"], each["reason"]) for each in found] == [
        ("default", "skip", "filtered"),
        ("second", "send", None),
    ]


def test_an_instance_without_webhooks_and_a_file_that_is_no_event(cli: Cli, tmp_path: Path) -> None:
    asyncio.run(fill(uri(tmp_path)))
    assert cli("explain", "acme", "--event-file", event_file(tmp_path))[:2] == (
        0,
        "skip (no_webhook): 'acme' has none\n",
    )
    (tmp_path / "event.json").write_text("[]")
    for action in ("explain", "test"):
        code, _, complained = cli(action, "acme", "--event-file", str(tmp_path / "event.json"))
        assert (code, "--event-file: the message is not a JSON object" in complained) == (2, True)
        code, _, complained = cli(action, "acme", "--event-file", str(tmp_path / "none.json"))
        assert (code, "--event-file: " in complained) == (2, True)


async def test_the_event_of_a_file_is_sent_as_the_webhook_wants_it(
    cli: Cli, tmp_path: Path, receiver: Receiver
) -> None:
    webhook = Webhook("acme", receiver.url("/x"), media="strip", filter='{"data.key.fromMe":false}')
    await fill(uri(tmp_path), webhook)
    code, said, _ = await asyncio.to_thread(cli, "test", "acme", "--event-file", event_file(tmp_path))
    assert (code, "answered 200" in said) == (0, True)
    (request,) = receiver.requests
    sent = json.loads(request.body)
    assert sent["event"] == "messages.upsert"
    assert sent["data"]["base64"]["bytes"] == 5

"""`webhook-worker webhook set|get|list|delete`: what operators type, and what they should not have typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.receiver import Answer, Receiver
from worker.cli import main

URL = "https://h.example/x"
SECRET = "whsec_" + "QUJD" * 8
Cli = Callable[..., tuple[int, str, str]]
"""Exit code, standard output, standard error."""


@pytest.fixture
def cli(
    tmp_path: Path, broker: LocalBroker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """`cli("list")` is `webhook-worker webhook list`, in this process, on a SQLite file of the test's own."""
    environment = {
        "DATABASE_CONNECTION_URI": f"sqlite:///{tmp_path / 'webhooks.db'}",
        "RABBITMQ_URI": broker.uri,
        "WORKER_QUEUE_PREFIX": "test-cli-webhook",
    }
    monkeypatch.setattr(os, "environ", environment)
    assert main(["migrate"]) == 0
    capsys.readouterr()

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(["webhook", *arguments])
        except SystemExit as exit_:  # argparse
            code = int(exit_.code or 0)
        return code, *capsys.readouterr()

    return run


async def test_a_webhook_that_is_set_while_the_daemon_runs_gets_its_events(
    worker: StartWorker, publish: PublishEvents, receiver: Receiver
) -> None:
    daemon = await worker(CACHE_TTL_SECONDS="0.2")
    set_ = ("webhook", "set", "acme", "--url", receiver.url("/acme"), "--by-events", "--event", "messages.upsert,CALL")
    setting = await worker(arguments=set_, ready=False)
    assert await setting.wait() == 0, setting.output()
    await publish(event("chats.delete"), event())
    (post,) = await receiver.wait_for(1)
    assert post.path == "/acme/messages-upsert"
    await daemon.wait_metric("deliveries_total", 1, outcome="Skipped", reason="event_not_enabled")
    shown = await worker(arguments=("webhook", "get", "acme", "--json"), ready=False)
    assert await shown.wait() == 0
    assert json.loads("\n".join(shown.lines))[0]["events"] == ["CALL", "MESSAGES_UPSERT"]


def test_set_get_list_delete(cli: Cli) -> None:
    typed = (
        "--url",
        URL,
        "--header",
        "X-Tenant: a:b",
        "--secret",
        SECRET,
        "--rate-limit",
        "10/20",
        "--concurrency",
        "3",
    )
    code, out, err = cli("set", "acme", *typed)
    assert (code, err) == (0, "")
    assert URL in out
    assert cli("set", "acme", "--id", "audit", "--url", "http://audit.example/", "--no-enabled")[0] == 0
    assert cli("set", "beta", "--url", URL, "--timeout-ms", "1500")[0] == 0

    code, out, _ = cli("get", "acme", "--json")
    audit, default = json.loads(out)
    assert (audit["id"], audit["enabled"], default["id"]) == ("audit", False, "default")
    assert (default["headers"], default["secrets"]) == ({"X-Tenant": "***"}, 1)
    assert (default["rate_limit"], default["concurrency"]) == ({"per_second": 10, "burst": 20}, 3)
    assert [found["id"] for found in json.loads(cli("get", "acme", "--id", "audit", "--json")[1])] == ["audit"]
    shown = cli("get", "acme")[1].splitlines()
    assert [line.split()[0] for line in shown] == ["INSTANCE", "acme", "acme", "audit:", "default:"]

    assert [row["instance"] for row in json.loads(cli("list", "--json")[1])] == ["acme", "acme", "beta"]
    assert len(json.loads(cli("list", "--json", "--limit", "2")[1])) == 2
    assert len(cli("list")[1].splitlines()) == 4

    assert cli("delete", "acme", "--id", "audit") == (0, "deleted: 1\n", "")
    assert json.loads(cli("delete", "acme", "--json")[1]) == {"deleted": 1}
    for command in ("delete", "get"):
        code, out, err = cli(command, "acme")
        assert code == 1
        assert "'acme' has no such webhook" in err
    assert [row["instance"] for row in json.loads(cli("list", "--json")[1])] == ["beta"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_command_goes_on_when_nobody_reads_what_it_says(cli: Cli, unbuffered: str) -> None:
    """`| head` leaves early; unbuffered (as in the image), the first line already meets a broken pipe."""
    for typed in (("set", "acme", "--url", URL), ("list",)):
        read, write = os.pipe()
        os.close(read)
        command = [sys.executable, "-m", "worker", "webhook", *typed]
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=environment, check=False)
        os.close(write)
        assert (ended.returncode, ended.stderr) == (0, b"")
    assert json.loads(cli("get", "acme", "--json")[1])[0]["url"] == URL


def test_a_file_that_is_missing_is_named(cli: Cli, tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert cli("import", "--from", "file", str(missing)) == (
        1,
        "",
        f"webhook-worker: {missing}: No such file or directory\n",
    )
    code, _, err = cli("list", "--config", str(missing))
    assert (code, err) == (2, f"webhook-worker: {missing}: cannot be read: No such file or directory\n")


async def test_a_test_event_is_sent_and_its_answer_shown(worker: StartWorker, receiver: Receiver) -> None:
    async def ended(*arguments: str) -> tuple[int, str]:
        one = await worker(arguments=("webhook", *arguments), ready=False)
        return await one.wait(), one.output()

    assert (await ended("set", "acme", "--url", receiver.url("/x"), "--secret", "generate"))[0] == 0
    code, out = await ended("test", "acme", "--event", "call", "--json")
    assert (code, json.loads(out)["status"], json.loads(out)["signed"]) == (0, 200, True)
    (post,) = receiver.requests
    assert post.json()["event"] == "call"
    assert post.header("webhook-signature")
    assert f"{receiver.url('/x')} answered 200 after" in (await ended("test", "acme"))[1]
    receiver.always("/x", Answer(body=b'\x1b]0;owned\x07\x1b[2J{"ok":\r\ntrue}'))
    _, out = await ended("test", "acme")
    assert out.splitlines()[1:] == ['\\u001b]0;owned\\u0007\\u001b[2J{"ok":', "true}"], (
        "nothing that the terminal obeys"
    )
    await receiver.stop()
    code, out = await ended("test", "acme")
    assert code == 1
    assert f"{receiver.url('/x')}: " in out
    assert (await ended("test", "nobody"))[0] == 1
    assert (await ended("test", "acme", "--event", "nope"))[0] == 2


def test_a_generated_secret_is_shown_once(cli: Cli) -> None:
    _, out, _ = cli("set", "acme", "--url", URL, "--secret", "generate", "--json")
    secret = json.loads(out)["new_secret"]
    assert secret.startswith("whsec_")
    assert secret not in cli("get", "acme", "--json")[1] + cli("list")[1] + cli("set", "acme", "--enabled")[1]


ODD_NAMES = (
    "a.b/c d",
    "Zé 😀",
    "'; DROP TABLE webhooks; --",
    "%s {} $HOME `id`",
    "x" * 255,
    " leading and trailing ",
)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_instance_names_hold_any_character(cli: Cli, name: str) -> None:
    assert cli("set", name, "--url", URL)[0] == 0
    (found,) = json.loads(cli("get", name, "--json")[1])
    assert found["instance"] == name
    assert [row["instance"] for row in json.loads(cli("list", "--json")[1])] == [name]
    assert cli("delete", name)[0] == 0


HOSTILE = {
    "no URL": ([], "url: is required"),
    "ftp": (["--url", "ftp://h/x"], "url: must begin with http:// or https://"),
    "no host": (["--url", "http:///x"], "url: has no host"),
    "port": (["--url", "http://user:hunter2@h:99999999/"], "url: is malformed"),
    "bracket": (["--url", "http://user:hunter2@[::1/"], "url: is malformed"),
    "space": (["--url", "http://h/a b"], "url: has a space"),
    "line break": (["--url", "http://h/\r\nX-Evil: 1"], "url: has a space, a control character"),
    "long URL": (["--url", "http://h/" + "x" * 10_000], "url:"),
    "not UTF-8": (["--url", "http://h/\udcff"], "argument 5 is not UTF-8 text"),
    "event": (["--url", URL, "--event", "MESAGES_UPSERT"], "the nearest is MESSAGES_UPSERT"),
    "no colon": (["--url", URL, "--header", "X-Key hunter2"], "headers:"),
    "header break": (["--url", URL, "--header", "X-Key: hunter2\r\nX-Evil: 1"], "'X-Key' holds a control character"),
    "header name": (["--url", URL, "--header", "X Key: hunter2"], "header name 'X Key'"),
    "header twice": (["--url", URL, "--header", "X-Key: hunter2", "--header", "x-key: b"], "headers:"),
    "header again": (["--url", URL, "--header", "X-Key: hunter2", "--header", "X-Key: b"], "headers: one of them"),
    "65 headers": (["--url", URL, *(f"--header=X-{n}: hunter2" for n in range(65))], "headers:"),
    "secret": (["--url", URL, "--secret", "hunter2"], "secrets[0]: must be whsec_"),
    "short secret": (["--url", URL, "--secret", "whsec_aHVudGVyMg=="], "secrets[0]: must be whsec_"),
    "timeout 0": (["--url", URL, "--timeout-ms", "0"], "timeout_ms:"),
    "timeout text": (["--url", URL, "--timeout-ms", "soon"], "timeout_ms: Input should be a valid integer, not 'soon'"),
    "concurrency": (["--url", URL, "--concurrency", "-1"], "concurrency:"),
    "rate 0": (["--url", URL, "--rate-limit", "0"], "rate_limit"),
    "rate NaN": (["--url", URL, "--rate-limit", "nan"], "rate_limit"),
    "rate text": (["--url", URL, "--rate-limit", "fast"], "rate_limit: must be PER_SECOND or PER_SECOND/BURST"),
    "burst 0": (["--url", URL, "--rate-limit", "1/0"], "rate_limit"),
    "reserved id": (["--url", URL, "--id", "global"], "id: 'global' is reserved"),
    "id": (["--url", URL, "--id", "../x"], "id:"),
    "unknown option": (["--url", URL, "--evnts", "CALL"], "unrecognized arguments"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_input_is_refused_naming_the_field_and_nothing_is_stored(cli: Cli, case: str) -> None:
    arguments, problem = HOSTILE[case]
    code, out, err = cli("set", "acme", *arguments)
    assert (code, out) == (2, ""), err
    assert problem in err
    assert "Traceback" not in err
    assert "hunter2" not in err
    assert json.loads(cli("list", "--json")[1]) == []


@pytest.mark.parametrize("name", ["", "x" * 256, "line\nbreak", "nul\0"])
@pytest.mark.parametrize("action", ["set", "get", "delete"])
def test_impossible_instance_names_are_refused_or_unknown(cli: Cli, action: str, name: str) -> None:
    code, _, err = cli(action, name, *(["--url", URL] if action == "set" else ["--json"]))
    assert code == (2 if action == "set" else 1)
    assert "Traceback" not in err
    if action == "set":
        assert "instance:" in err
    assert json.loads(cli("list", "--json")[1]) == []


@pytest.mark.parametrize("arguments", [("get", "\udcff"), ("delete", "\udcff"), ("set", "\udcff", "--url", URL)])
def test_arguments_that_are_not_text_are_refused(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli(*arguments) == (2, "", "webhook-worker: argument 3 is not UTF-8 text\n")


def test_every_problem_is_told_at_once(cli: Cli) -> None:
    code, _, err = cli("set", "acme", "--url", "ftp://h/", "--timeout-ms", "0", "--event", "NOPE")
    assert code == 2
    assert all(field in err for field in ("url:", "timeout_ms:", "events[0]:"))


def test_a_store_that_cannot_be_used_is_said_with_the_setting(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "DATABASE_CONNECTION_URI", "sqlite:////nonexistent/folder/webhooks.db")
    for arguments in (("list",), ("get", "acme"), ("set", "acme", "--url", URL), ("delete", "acme")):
        code, out, err = cli(*arguments)
        assert (code, out) == (1, "")
        assert "DATABASE_CONNECTION_URI" in err
        assert ("folder must exist" if arguments[0] == "set" else "does not exist") in err


@pytest.mark.parametrize("limit", ["-1", "0", "many", "1e3"])
def test_a_limit_that_means_nothing_is_refused(cli: Cli, limit: str) -> None:
    code, out, err = cli("list", f"--limit={limit}")
    assert (code, out) == (2, "")
    assert "--limit: must be a whole number above 0" in err


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://10.1.2.3/x", "private address 10.1.2.3; allow it with EGRESS_ALLOW"),
        ("worker+http://169.254.169.254/x", "cloud metadata address 169.254.169.254; change the webhook"),
    ],
)
def test_a_url_that_the_egress_rules_refuse_is_warned_of(cli: Cli, url: str, reason: str) -> None:
    code, shown, _ = cli("set", "acme", "--url", url)
    assert code == 0
    assert f"warning: deliveries to it are refused: {reason}" in shown
    assert json.loads(cli("set", "acme", "--enabled", "--json")[1])["warnings"] == []

"""Every command with addresses that are wrong or lead nowhere: no traceback, and no password in any output."""

import argparse
import itertools
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.cli import main, parser

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "run": ["run"],
    "api": ["api"],
    "check": ["check"],
    "doctor": ["doctor"],
    "dead list": ["dead", "list"],
    "webhook list": ["webhook", "list"],
    "migrate": ["migrate"],
    "import": ["webhook", "import", "--from", "file", "none.toml"],
}
MORE_COMMANDS = [
    "history-writer", "history list", "history show x", "history show x --body", "history resend x", "notices test",
    "notices test acme", "replay acme --since 1h", "replays list", "replays show x", "replays stop x",
    "dead show x", "dead redrive --all", "dead purge --all --yes", "webhook set acme --url https://h.example/",
    "webhook get acme", "webhook delete acme", "webhook test acme", "webhook explain acme --event-file event.json",
    "webhook pause acme", "webhook resume acme", "webhook rotate-secret acme", "webhook reencrypt", "webhook export",
]  # fmt: skip
DAEMONS = ("history-writer",)
"""They go on trying."""

SETTINGS = {
    "RABBITMQ_URI": "amqp://evo:{}@127.0.0.1:1/",
    "DATABASE_CONNECTION_URI": "postgresql://evo:{}@127.0.0.1:1/d",
}
AROUND = ("Zq7", "J9x")
"""Stand at both ends of each password: no text of ours has them, so a part of one is found by them."""
PASSWORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(
    lambda middle: f"{AROUND[0]}{middle}{AROUND[1]}"
)
WRONG_RABBITMQ = [
    "amqp://evo:{}#Geheim@127.0.0.1:1/", "amqp://evo:2024#{}@127.0.0.1:1/", "amqp://evo:{}\\x@h/", "amqp://evo:{}@h/a/b",
    "amqp://evo:{}@a:1,evo:{}@b:1/", "amqp://evo:{}@a/,amqp://evo:{}@b/", "amqps://evo:{}@h/?cacertfile=/none.pem",
    "amqps://evo:{}@h/?verify=maybe", "amqp://evo:{}@h/?verify=verify_none", "amqp://evo:{}@h/?depth=2",
    "amqp://evo:{}@h/?heartbeat=x", "amqps://evo:{}@h/?certfile=/etc/hostname", "amqp://evo:{}@h/%ff", "amqp://evo:{}",
    "amqps://h/?cadata={}", "amqps://h/?auth={}",
]  # fmt: skip
WRONG_DATABASE = [
    "postgresql://evo:{}@h", "postgresql://evo:{}@h/d?channel_binding=perhaps", "mysql://evo:{}@h/d?password={}",
    "mysql://evo:2024#{}@h/d", "postgres://evo:{}@h:x/d", "mysql://evo:{}@[::1/d", "sqlite:///w.db?mode=ro", "sqlite://",
    "postgresql://evo:{}@/d", "postgresql://evo:{}@h/d?sslpassword={}&sslmode=x", "mariadb+x://evo:{}@h/d",
]  # fmt: skip
WRONG = [
    *(("RABBITMQ_URI", uri) for uri in WRONG_RABBITMQ),
    *(("DATABASE_CONNECTION_URI", uri) for uri in WRONG_DATABASE),
]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without settings, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("RABBITMQ_", "DATABASE_", "WEBHOOK_"))]:
        monkeypatch.delenv(name)
    return monkeypatch


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and all output, in this process."""
    try:
        code = main(arguments)
    except SystemExit as error:  # argparse
        code = int(error.code or 0)
    return code, "".join(capsys.readouterr())


def shows_nothing(text: str) -> bool:
    return not any(sign in text for sign in (*AROUND, "Geheim", "2024#", "Traceback"))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("name", "uri"), WRONG)
def test_a_wrong_address_is_exit_code_2_by_name_with_all_other_problems(
    command: str, name: str, uri: str, bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare.setenv(name, uri.replace("{}", "".join(AROUND)))
    bare.setenv("LOG_LEVEL", "loud")
    code, text = outcome(COMMANDS[command], capsys)
    assert code == 2
    assert f"{name}=" in text
    assert "must be" in text
    assert "LOG_LEVEL" in text
    assert shows_nothing(text), text


def leaves(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> set[str]:
    """Each command by its words: `webhook list`."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    below = ((name, one) for action in found for name, one in action.choices.items())
    return set().union(*(leaves(one, (*path, name)) for name, one in below)) if found else {" ".join(path)}


def test_every_command_is_among_them() -> None:
    ours = {*MORE_COMMANDS, *map(" ".join, COMMANDS.values())}
    assert {leaf for leaf in leaves(parser()) if not any(f"{one} ".startswith(f"{leaf} ") for one in ours)} == set()


@pytest.mark.parametrize("command", MORE_COMMANDS)
def test_the_other_commands_refuse_wrong_addresses_alike(
    command: str, bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, uri in WRONG[:2] + WRONG[-2:]:
        bare.setenv(name, uri.replace("{}", "".join(AROUND)))
    code, text = outcome(command.split(), capsys)
    assert code == 2
    assert "RABBITMQ_URI=" in text
    assert "DATABASE_CONNECTION_URI=" in text
    assert shows_nothing(text), text


@pytest.mark.parametrize("command", [command for command in MORE_COMMANDS if command not in DAEMONS])
def test_the_other_commands_show_no_password_of_what_cannot_be_reached(
    command: str, bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, uri in SETTINGS.items():
        bare.setenv(name, uri.replace("{}", "".join(AROUND)))
    bare.setenv("OPS_WEBHOOK_URL", "http://ops:{}@127.0.0.1:1/".replace("{}", "".join(AROUND)))
    Path("event.json").write_text('{"event":"call","instance":"acme","data":{}}')
    code, text = outcome(command.split(), capsys)
    assert code == 1
    assert shows_nothing(text), text


@given(PASSWORDS, st.sampled_from(sorted(COMMANDS)), st.sampled_from(sorted(SETTINGS)))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_raw_password_that_is_refused_is_never_shown(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], password: str, command: str, name: str
) -> None:
    bare.setenv(name, SETTINGS[name].replace("{}", password))
    bare.setenv("LOG_LEVEL", "loud")  # so that nothing is tried with a password that can be taken
    code, text = outcome(COMMANDS[command], capsys)
    assert code == 2
    assert shows_nothing(text), text


@given(PASSWORDS, st.sampled_from(["check", "dead list", "webhook list", "migrate", "import"]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_encoded_password_is_never_shown_by_a_connection_that_fails(
    bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], password: str, command: str
) -> None:
    for name, uri in SETTINGS.items():
        bare.setenv(name, uri.replace("{}", quote(password, safe="")))
    code, text = outcome(COMMANDS[command], capsys)
    assert code == 1
    assert shows_nothing(text), text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["doctor", "--management-url", "http://evo:2024#{}@127.0.0.1:1"], 2),
        (["doctor", "http://evo:2024#{}@127.0.0.1:1"], 2),
        (["webhook", "import", "--from", "evolution-db", "postgresql://evo:2024#{}@127.0.0.1:1/d"], 1),
        (["webhook", "import", "--from", "evolution-db", "mysql://evo:{}@127.0.0.1:1/d"], 1),
        (["webhook", "import", "--from", "evolution-db", "sqlite:///{}?mode=ro"], 1),
        (["webhook", "import", "--from", "evolution-http", "http://evo:2024#{}@127.0.0.1:1"], 1),
        (["webhook", "import", "--from", "evolution-http", "http://evo:{}@127.0.0.1:1"], 1),
        (["webhook", "import", "--from", "file", "postgresql://evo:{}@127.0.0.1:1/d"], 1),
        (["webhook", "import", "--from", "postgresql://evo:{}@127.0.0.1:1/d"], 2),
    ],
)
def test_an_address_on_the_command_line_is_never_shown(
    arguments: list[str], code: int, bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare.setenv("AUTHENTICATION_API_KEY", "k")
    found, text = outcome([argument.replace("{}", "".join(AROUND)) for argument in arguments], capsys)
    assert found == code, text
    assert shows_nothing(text), text


@pytest.mark.parametrize(
    "arguments",
    [
        ["webhook", "set", "acme", "--url", "https://h.example/", "--client-certificate-file", "-----BEGIN {}"],
        ["webhook", "set", "acme", "--url", "https://h.example/", "--client-certificate", "{}"],
        ["webhook", "set", "acme", "--url", "https://h.example/", "--client-certificate-file", "{}" * 100],
        ["webhook", "import", "--from", "evolution-http", "http://127.0.0.1:1", "--api-key-file", "{}"],
        ["webhook", "import", "--from", "evolution-http", "http://127.0.0.1:1", "--api-key", "{}"],
    ],
)
def test_a_secret_in_the_place_of_its_file_is_never_shown(
    arguments: list[str], bare: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = outcome([argument.replace("{}", "".join(AROUND)) for argument in arguments], capsys)
    assert code in (1, 2)
    assert "the file cannot be read" in text
    assert shows_nothing(text), text


@pytest.mark.parametrize(("command", "name"), [*itertools.product(("run", "doctor"), SETTINGS)])
def test_a_process_shows_none_of_it_either(command: str, name: str, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), name: SETTINGS[name].format("Zq7#J9x")}
    found = subprocess.run(
        [sys.executable, "-m", "worker", command],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert f"{name}=" in found.stderr
    assert shows_nothing(found.stdout + found.stderr)

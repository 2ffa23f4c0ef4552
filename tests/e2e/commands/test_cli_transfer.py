"""`webhook import`, `export`, `rotate-secret`, `reencrypt` and `migrate` as an operator types them."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.conftest import StartWorker
from tests.support.evolution import Evolution
from tests.support.mariadb import MariaDB
from tests.support.mysql import DATABASE_SERVERS
from tests.support.postgres import Postgres
from worker.stores.own.steps import SCHEMA_VERSION

KEY = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
URL = "https://h.example/x"
Cli = Callable[..., object]


@pytest.fixture
def cli(worker: StartWorker):  # type: ignore[no-untyped-def]
    async def run(*arguments: str, **settings: str) -> tuple[int, str]:
        one = await worker(arguments=arguments, ready=False, **settings)
        code = await one.wait()
        # No worker runs, so nobody can be told of a change: that line is expected, and not what is looked at.
        return code, "\n".join(line for line in one.lines if "running workers were not told" not in line)

    return run


async def webhooks(cli) -> list[dict[str, object]]:  # type: ignore[no-untyped-def]
    found: list[dict[str, object]] = json.loads((await cli("webhook", "list", "--json"))[1])
    return found


@pytest.mark.parametrize("kind", DATABASE_SERVERS)
async def test_evolutions_database_is_imported_after_a_dry_run(
    cli,  # type: ignore[no-untyped-def]
    kind: str,
    request: pytest.FixtureRequest,
) -> None:
    server: Postgres | MariaDB = request.getfixturevalue(kind)
    tag = uuid4().hex[:12]
    evolution = Evolution(server, f"evolution_{tag}", "evolution_api", f"reader_{tag}").create()
    for name, url in (("acme", URL), ("loja", "worker+https://h.example/y"), ("unset", "")):
        evolution.instance(name)
        evolution.webhook(name, url, events=["CALL"])
    command = ("webhook", "import", "--from", "evolution-db", evolution.reader_uri)
    code, out = await cli(*command)
    assert code == 0
    assert "create  'acme' default" in out
    assert "2 to create, 0 to change, 0 refused, 0 the same; 0 here are not in the source and stay" in out
    assert "nothing was written: repeat with --apply" in out
    assert await webhooks(cli) == []
    code, out = await cli(*command, "--apply")
    assert code == 0
    assert [(found["instance"], found["url"], found["events"]) for found in await webhooks(cli)] == [
        ("acme", URL, ["CALL"]),
        ("loja", "https://h.example/y", ["CALL"]),
    ]
    assert "0 to create, 0 to change, 0 refused, 2 the same" in (await cli(*command))[1]


GO_TABLE = """CREATE TABLE instances (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(), name TEXT, token TEXT, webhook TEXT, rabbitmq_enable TEXT,
    jid TEXT, connected BOOLEAN, events TEXT, created_at TIMESTAMPTZ DEFAULT now()
)"""
"""The columns that matter, as Evolution Go's ORM makes them."""


async def test_evolution_gos_table_is_told_by_itself_and_its_tokens_stay_there(
    cli,  # type: ignore[no-untyped-def]
    postgres: Postgres,
) -> None:
    tag = uuid4().hex[:12]
    uri = postgres.create_database(f"evogo_users_{tag}")
    postgres.execute(f"evogo_users_{tag}", GO_TABLE)
    rows = (
        ("all", URL, "MESSAGE,ALL"),
        ("some", f" {URL}", "MESSAGE, READ_RECEIPT"),
        ("none", URL, ""),
        ("unset", "", ""),
    )
    for name, url, events in rows:
        statement = (
            f"INSERT INTO instances (name, token, webhook, events) VALUES ('{name}', 'hunter2', '{url}', '{events}')"
        )
        postgres.execute(f"evogo_users_{tag}", statement)
    command = ("webhook", "import", "--from", "evolution-db", f"{uri}?sslmode=disable", "--apply")
    code, out = await cli(*command)
    assert code == 0
    assert "3 to create, 0 to change, 0 refused" in out
    assert {found["instance"]: (found["url"], found["enabled"], found["events"]) for found in await webhooks(cli)} == {
        "all": (URL, True, []),
        "some": (URL, True, ["MESSAGE", "READ_RECEIPT"]),
        "none": (URL, False, []),
    }
    assert "hunter2" not in out + (await cli("webhook", "export", "--with-secrets"))[1]
    assert "0 to create, 0 to change, 0 refused, 3 the same" in (await cli(*command))[1]


async def test_where_both_evolutions_share_a_database_both_are_imported_and_the_apis_come_first(
    cli,  # type: ignore[no-untyped-def]
    postgres: Postgres,
) -> None:
    tag = uuid4().hex[:12]
    evolution = Evolution(postgres, f"evolution_{tag}", "public", f"reader_{tag}").create()
    evolution.instance("acme")
    evolution.webhook("acme", URL)
    evolution.execute(GO_TABLE)
    for name in ("acme", "go"):
        evolution.execute(f"INSERT INTO instances (name, webhook, events) VALUES ('{name}', '{URL}/go', 'ALL')")
    assert (await cli("webhook", "import", "--from", "evolution-db", evolution.uri, "--apply"))[0] == 0
    assert {found["instance"]: found["url"] for found in await webhooks(cli)} == {"acme": URL, "go": f"{URL}/go"}


async def test_another_applications_table_of_that_name_is_not_taken_for_evolution_gos(
    cli,  # type: ignore[no-untyped-def]
    postgres: Postgres,
) -> None:
    name = f"other_{uuid4().hex[:12]}"
    uri = postgres.create_database(name)
    postgres.execute(name, "CREATE TABLE instances (name TEXT)")
    code, out = await cli("webhook", "import", "--from", "evolution-db", uri)
    assert code == 1
    assert "has no tables of Evolution" in out


async def test_rows_that_cannot_be_sent_are_named_by_import_check_and_doctor(
    cli,  # type: ignore[no-untyped-def]
    postgres: Postgres,
) -> None:
    tag = uuid4().hex[:12]
    evolution = Evolution(postgres, f"evolution_{tag}", "evolution_api", f"reader_{tag}").create()
    for name in ("pasted", "header", "damaged"):
        evolution.instance(name)
    evolution.webhook("pasted", " worker+https://h.example/a b\n", events=["NEW_THING"])
    evolution.webhook("header", "worker+https://h.example/", headers={"X Y": "hunter2"})
    evolution.webhook("damaged", "worker+https://h.example/", headers=["hunter2"])
    code, out = await cli("webhook", "import", "--from", "evolution-db", evolution.reader_uri, "--apply")
    assert code == 1
    assert "refused 'header' default: headers: the header name 'X Y'" in out
    assert "column `headers` of Evolution's webhook of instance 'damaged'" in out
    assert [(found["url"], found["events"]) for found in await webhooks(cli)] == [
        ("https://h.example/a%20b", ["NEW_THING"])
    ]
    source = {"WEBHOOK_SOURCE": "evolution", "DATABASE_CONNECTION_URI": evolution.reader_uri}
    for command in ("check", "doctor"):
        code, told = await cli(command, **source)
        assert code == 1
        assert "header/default" in told
        assert "column `headers` of Evolution's webhook of instance 'damaged'" in told
        assert "pasted/default" not in "".join(line for line in told.splitlines() if "cannot be sent" in line)
        assert "hunter2" not in out + told


async def test_what_is_exported_can_be_imported(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    await cli("webhook", "set", "acme", "--url", "https://u:hunter2@h.example/x", "--header", "X-A: hunter2")
    _, masked = await cli("webhook", "export")
    assert "hunter2" not in masked
    assert "# headers: left out" in masked
    code, whole = await cli("webhook", "export", "--with-secrets")
    assert code == 0
    (tmp_path / "all.toml").write_text(whole)
    command = ("webhook", "import", "--from", "file", str(tmp_path / "all.toml"))
    assert "0 to create, 0 to change, 0 refused, 1 the same" in (await cli(*command))[1]
    await cli("webhook", "delete", "acme")
    assert (await cli(*command, "--apply"))[0] == 0
    assert (await cli("webhook", "export", "--with-secrets"))[1] == whole


async def test_a_broken_source_is_said_and_nothing_written(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "broken.toml").write_text('[[webhook]]\ninstance = "a"\n')
    code, out = await cli("webhook", "import", "--from", "file", str(tmp_path / "broken.toml"), "--apply")
    assert code == 1
    assert "file: line 1, webhook 1: url: is required" in out
    code, out = await cli("webhook", "import", "--from", "evolution-db", "postgresql://u:hunter2@127.0.0.1:1/e")
    assert code == 1
    assert "SOURCE postgresql://127.0.0.1:1/e" in out
    assert "hunter2" not in out
    code, out = await cli("webhook", "import", "--from", "evolution-http", "http://127.0.0.1:1")
    assert code == 1
    assert "--api-key-file" in out


async def test_a_secret_is_rotated_and_shown_once(cli) -> None:  # type: ignore[no-untyped-def]
    await cli("webhook", "set", "acme", "--url", URL, "--secret", "generate")
    code, out = await cli("webhook", "rotate-secret", "acme", "--expire-old", "2h", "--json")
    assert code == 0
    rotated = json.loads(out)
    assert rotated["new_secret"].startswith("whsec_")
    (found,) = await webhooks(cli)
    assert (found["secrets"], found["old_secret_until"]) == (2, rotated["old_until"])
    code, out = await cli("webhook", "rotate-secret", "acme", "--expire-old", "0")
    assert code == 0
    assert "it alone signs from now on" in out
    assert (await cli("webhook", "rotate-secret", "nobody"))[0] == 1
    assert (await cli("webhook", "rotate-secret", "acme", "--expire-old", "soon"))[0] == 2


async def test_stored_secrets_are_encrypted_when_asked(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    await cli("webhook", "set", "acme", "--url", URL, "--header", "X-A: hunter2")
    assert (await cli("webhook", "reencrypt"))[0] == 1
    assert b"hunter2" in b"".join(path.read_bytes() for path in tmp_path.glob("webhooks.db*"))
    code, out = await cli("webhook", "reencrypt", WEBHOOK_SECRET_KEY=KEY)
    assert (code, "encrypted anew: 1" in out) == (0, True)
    code, out = await cli("webhook", "list")
    assert code == 1
    assert "WEBHOOK_SECRET_KEY is empty" in out
    assert (await cli("webhook", "list", WEBHOOK_SECRET_KEY=KEY))[0] == 0


async def test_migrate_makes_the_table_or_says_that_there_is_none(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert (await cli("migrate"))[1] == f"the schema has version {SCHEMA_VERSION}"
    assert json.loads((await cli("migrate", "--json"))[1]) == {"version": SCHEMA_VERSION, "history": True}
    assert (tmp_path / "webhooks.db").exists()
    assert (tmp_path / "history.db").exists()
    assert "nothing to migrate with WEBHOOK_SOURCE=file" in (await cli("migrate", WEBHOOK_SOURCE="file"))[1]

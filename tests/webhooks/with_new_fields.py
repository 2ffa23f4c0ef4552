"""A program for test_new_field.py: uses `order` and `client_certificate` everywhere that people meet such fields.

Run with the folder of a copy of worker/ that declares them first on PYTHONPATH, in the folder of a database that the
version before them made.
"""

import asyncio
import contextlib
import io
import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp

from worker.api.webhooks import WebhookApi
from worker.cli import main
from worker.domain.trial import Trial
from worker.stores.own.sealing import Sealer
from worker.stores.own.store import SqlStore

DATABASE = "webhooks.db"
URL = "https://h.example/x"
KEY = "key"
PEM = "-----BEGIN THIS-----"


def cli(*arguments: str, code: int = 0) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            found = main(["webhook", *arguments])
        except SystemExit as exit_:  # --help
            found = int(exit_.code or 0)
    assert found == code, printed.getvalue()
    return printed.getvalue()


def on_the_command_line() -> None:
    assert "--order none|chat|instance" in cli("set", "--help")
    cli("set", "acme", "--url", URL, "--order", "chat")
    cli("set", "acme", "--timeout-ms", "5")  # keeps it
    (found,) = json.loads(cli("get", "acme", "--json"))
    assert found["order"] == "chat", found
    refused = cli("set", "acme", "--order", "caht", code=2)
    assert "order: Input should be 'none', 'chat' or 'instance', not 'caht'" in refused, refused
    cli("set", "acme", "--client-certificate", PEM)
    assert json.loads(cli("get", "acme", "--json"))[0]["client_certificate"] == "***"
    refused = cli("set", "acme", "--client-certificate", PEM * 10, code=2)
    assert "client_certificate: String should have at most 50 characters" in refused, refused
    assert PEM not in refused


def in_a_file() -> None:
    exported = cli("export")
    assert 'order = "chat"' in exported, exported
    assert "# client_certificate: left out" in exported
    assert PEM not in exported
    whole = cli("export", "--with-secrets")
    assert f'client_certificate = "{PEM}"' in whole
    Path("webhooks.toml").write_text(whole.replace('"chat"', '"instance"'))
    assert "change  'acme' default: order" in cli("import", "--from", "file", "webhooks.toml", "--apply")


def at_rest() -> None:
    """Sealed, and sealed anew; the row that has none is left alone."""
    with closing(sqlite3.connect(DATABASE)) as connection:
        found = dict(connection.execute("SELECT instance, client_certificate FROM webhooks").fetchall())
    assert found["acme"].startswith("sealed:1:"), found
    assert found["old"] is None
    assert cli("reencrypt") == "encrypted anew: 0\n"


async def over_the_api() -> None:
    store = SqlStore(f"sqlite:///{DATABASE}", lambda: 1, Sealer(os.environ["WEBHOOK_SECRET_KEY"]))
    api = WebhookApi("127.0.0.1", 0, store, KEY, refuse_url=_nothing, changed=_nothing, send_test=_trial)
    base = f"http://127.0.0.1:{await api.start()}"
    async with aiohttp.ClientSession(headers={"apikey": KEY}) as session:

        async def call(method: str, path: str, body: object = None) -> Any:
            async with session.request(method, base + path, json=body) as response:
                return await response.json()

        assert (await call("GET", "/webhook/find/acme"))["order"] == "instance"
        await call("POST", "/webhook/set/acme", {"url": URL, "webhook_by_events": True})  # keeps it
        assert (await call("GET", "/webhook/find/acme"))["order"] == "instance"
        for body in ({"url": URL, "order": "chat"}, {"webhook": {"url": URL, "order": "chat"}}):
            await call("POST", "/webhook/set/acme", body)
            assert (await call("GET", "/webhook/find/acme"))["order"] == "chat"
            await call("POST", "/webhook/set/acme", {"url": URL, "order": None})
            assert (await call("GET", "/webhook/find/acme"))["order"] == "none"
        assert (await call("GET", "/webhook/find/acme"))["client_certificate"] == "***"
        await call("POST", "/webhook/set/acme", {"url": URL, "clientCertificate": "***"})  # stands for what is stored
        assert getattr((await store.load("acme"))[0], "client_certificate") == PEM  # noqa: B009
        refused = await call("POST", "/webhook/set/new", {"url": URL, "client_certificate": "***"})
        assert "only the mask" in refused["response"]["message"][0][0], refused
        refused = await call("POST", "/webhook/set/acme", {"webhook": {"url": URL, "order": 5}})
        assert refused["response"]["message"][0][0].startswith("webhook.order: Input should be 'none', 'chat'"), refused
        schemas = (await call("GET", "/openapi.json"))["components"]["schemas"]
        for properties in (schemas["Set"]["anyOf"][0], schemas["Set"]["anyOf"][2]["properties"]["webhook"]):
            assert properties["properties"]["order"]["anyOf"][0]["enum"] == ["none", "chat", "instance"]
        assert schemas["Found"]["properties"]["order"] == {"type": "string"}
        assert schemas["Found"]["properties"]["client_certificate"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    await api.close()
    await store.close()


async def _nothing(*_: object) -> None:
    return None


async def _trial(*_: object) -> Trial:
    return Trial(200, 1.0)


async def of_a_row_that_was_there_before() -> None:
    store = SqlStore(f"sqlite:///{DATABASE}", lambda: 1)
    await store.migrate()
    (old,) = await store.load("old")
    assert getattr(old, "order") == "none"  # noqa: B009 - the attribute that only the copy has
    await store.close()


if __name__ == "__main__":
    asyncio.run(of_a_row_that_was_there_before())
    on_the_command_line()
    at_rest()
    in_a_file()
    asyncio.run(over_the_api())
    sys.stdout.write("they work")

"""A program for test_new_field.py: uses `group` and `sealed_note` everywhere that people meet such fields.

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
from worker.domain.webhook_test import WebhookTest
from worker.stores.own.sealing import Sealer
from worker.stores.own.store import SqlStore

DATABASE = "webhooks.db"
URL = "https://h.example/x"
KEY = "key"
NOTE = "ours alone"


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
    assert "--group none|chat|instance" in cli("set", "--help")
    cli("set", "acme", "--url", URL, "--group", "chat")
    cli("set", "acme", "--timeout-ms", "5")  # keeps it
    (found,) = json.loads(cli("get", "acme", "--json"))
    assert found["group"] == "chat", found
    refused = cli("set", "acme", "--group", "caht", code=2)
    assert "group: Input should be 'none', 'chat' or 'instance', not 'caht'" in refused, refused
    cli("set", "acme", "--sealed-note", NOTE)
    assert json.loads(cli("get", "acme", "--json"))[0]["sealed_note"] == "***"
    refused = cli("set", "acme", "--sealed-note", NOTE * 10, code=2)
    assert "sealed_note: must have at most 50 characters" in refused, refused
    assert NOTE not in refused


def in_a_file() -> None:
    exported = cli("export")
    assert 'group = "chat"' in exported, exported
    assert "# sealed_note: left out" in exported
    assert NOTE not in exported
    whole = cli("export", "--with-secrets")
    assert f'sealed_note = "{NOTE}"' in whole
    Path("webhooks.toml").write_text(whole.replace('"chat"', '"instance"'))
    assert "change  'acme' default: group" in cli("import", "--from", "file", "webhooks.toml", "--apply")


def at_rest() -> None:
    """Sealed, and sealed anew; the row that has none is left alone."""
    with closing(sqlite3.connect(DATABASE)) as connection:
        found = dict(connection.execute("SELECT instance, sealed_note FROM webhooks").fetchall())
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

        assert (await call("GET", "/webhook/find/acme"))["group"] == "instance"
        await call("POST", "/webhook/set/acme", {"url": URL, "webhook_by_events": True})  # keeps it
        assert (await call("GET", "/webhook/find/acme"))["group"] == "instance"
        for body in ({"url": URL, "group": "chat"}, {"webhook": {"url": URL, "group": "chat"}}):
            await call("POST", "/webhook/set/acme", body)
            assert (await call("GET", "/webhook/find/acme"))["group"] == "chat"
            await call("POST", "/webhook/set/acme", {"url": URL, "group": None})
            assert (await call("GET", "/webhook/find/acme"))["group"] == "none"
        assert (await call("GET", "/webhook/find/acme"))["sealed_note"] == "***"
        await call("POST", "/webhook/set/acme", {"url": URL, "sealedNote": "***"})  # stands for what is stored
        assert getattr((await store.load("acme"))[0], "sealed_note") == NOTE  # noqa: B009
        refused = await call("POST", "/webhook/set/new", {"url": URL, "sealed_note": "***"})
        assert "only the mask" in refused["response"]["message"][0][0], refused
        refused = await call("POST", "/webhook/set/acme", {"webhook": {"url": URL, "group": 5}})
        assert refused["response"]["message"][0][0].startswith("webhook.group: Input should be 'none', 'chat'"), refused
        schemas = (await call("GET", "/openapi.json"))["components"]["schemas"]
        for properties in (schemas["Set"]["anyOf"][0], schemas["Set"]["anyOf"][2]["properties"]["webhook"]):
            assert properties["properties"]["group"]["anyOf"][0]["enum"] == ["none", "chat", "instance"]
        assert schemas["Found"]["properties"]["group"] == {"type": "string"}
        assert schemas["Found"]["properties"]["sealed_note"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    await api.close()
    await store.close()


async def _nothing(*_: object) -> None:
    return None


async def _trial(*_: object) -> WebhookTest:
    return WebhookTest(200, 1.0)


async def of_a_row_that_was_there_before() -> None:
    store = SqlStore(f"sqlite:///{DATABASE}", lambda: 1)
    await store.migrate()
    (old,) = await store.load("old")
    assert getattr(old, "group") == "none"  # noqa: B009 - the attribute that only the copy has
    await store.close()


if __name__ == "__main__":
    asyncio.run(of_a_row_that_was_there_before())
    on_the_command_line()
    at_rest()
    in_a_file()
    asyncio.run(over_the_api())
    sys.stdout.write("they work")

"""Secrets at rest: which keys, what is sealed, how keys are changed, what happens without the right one."""

import base64
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.conftest import Clock
from tests.support.webhook_commands import set_webhook
from worker.domain.webhook import Webhook
from worker.settings.settings import SettingsError, load
from worker.stores.own.sealing import MARK, Sealer, Unreadable
from worker.stores.own.store import SqlStore
from worker.webhooks.commands import SetArguments
from worker.webhooks.store import RowDamaged, RowSealed

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (251, 2))
ACME = Webhook(
    "acme", "https://h.example/x", headers=(("jwt_key", "hunter2"),), secrets=("whsec_" + OLD, "whsec_" + NEW),
    old_secret_until=1_795_000_000,
)  # fmt: skip
PLAIN = Webhook("plain", "https://h.example/x")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/webhooks.db"


@pytest.fixture
async def opened(uri: str) -> AsyncIterator[Callable[[str], SqlStore]]:
    made: list[SqlStore] = []

    def new(keys: str) -> SqlStore:
        made.append(SqlStore(uri, Clock(), Sealer(keys)))
        return made[-1]

    yield new
    for store in made:
        await store.close()


def columns(uri: str, instance: str = "acme") -> tuple[str, str]:
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        query = "SELECT headers, secrets FROM webhooks WHERE instance = ?"
        found: tuple[str, str] = connection.execute(query, (instance,)).fetchone()
        return found


@pytest.mark.parametrize("wrong", ["passphrase", "A" * 43, "AAAA", f"{OLD},x", f"{OLD}\x00", "ä" * 32, OLD * 2])
def test_what_is_no_key_stops_the_start_without_being_shown(wrong: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({"WEBHOOK_SECRET_KEY": wrong}, None)
    assert "32 random bytes in base64" in str(caught.value) or "control characters" in str(caught.value)
    assert wrong not in str(caught.value)


@pytest.mark.parametrize("keys", ["", OLD, f" {OLD} , {NEW},", OLD.replace("+", "-").replace("/", "_")])
def test_keys_in_both_alphabets_and_several(keys: str) -> None:
    sealer = Sealer(keys)
    assert sealer.open(sealer.seal('["x"]')) == '["x"]'
    assert load({"WEBHOOK_SECRET_KEY": keys}, None)[0].webhook_secret_key == keys.strip()


def test_each_sealing_differs_and_nothing_is_not_sealed() -> None:
    sealer = Sealer(OLD)
    assert sealer.seal('["x"]') != sealer.seal('["x"]')
    assert sealer.seal("[]") == "[]"


def test_a_changed_text_is_refused() -> None:
    sealer = Sealer(OLD)
    sealed = sealer.seal('["x"]')
    with pytest.raises(Unreadable, match="does not hold"):
        sealer.open(sealed[:-6] + "AAAAA=")


async def test_a_row_holds_no_secret_and_reads_as_it_was(opened: Callable[[str], SqlStore], uri: str) -> None:
    store = opened(OLD)
    await store.migrate()
    await store.put(ACME)
    assert all(text.startswith(MARK) for text in columns(uri))
    assert await store.load("acme") == (ACME,)
    assert [item.webhook for item in await store.get("acme")] == [ACME]
    assert await store.disable(ACME, "gone") == 2


async def test_plain_rows_still_read_and_are_sealed_at_their_next_write(
    opened: Callable[[str], SqlStore], uri: str
) -> None:
    before, after = opened(""), opened(OLD)
    await before.migrate()
    await before.put(ACME)
    assert "hunter2" in columns(uri)[0]
    assert await after.load("acme") == (ACME,)
    await set_webhook(after, SetArguments("acme", timeout_ms=5))
    assert all(text.startswith(MARK) for text in columns(uri))
    assert await after.load("acme") == (replace(ACME, timeout_ms=5),)


@pytest.mark.parametrize(("keys", "said"), [("", "WEBHOOK_SECRET_KEY is empty"), (NEW, "does not hold")])
async def test_without_the_right_key_the_row_is_refused_and_not_overwritten(
    opened: Callable[[str], SqlStore], keys: str, said: str
) -> None:
    store, wrong = opened(OLD), opened(keys)
    await store.migrate()
    await store.put(ACME)
    await store.put(PLAIN)
    with pytest.raises(RowSealed, match=f"column `headers` of webhook 'default' of instance 'acme' .*{said}") as caught:
        await wrong.load("acme")
    assert not isinstance(caught.value, RowDamaged)
    with pytest.raises(RowSealed):
        await set_webhook(wrong, SetArguments("acme", url="https://other.example/"))
    assert await wrong.load("plain") == (PLAIN,)
    assert await store.load("acme") == (ACME,)


async def test_keys_are_changed_without_a_pause(opened: Callable[[str], SqlStore], uri: str) -> None:
    for store in (opened(""), opened(OLD)):
        await store.migrate()
    await opened("").put(replace(ACME, instance="bare"))
    await opened("").put(PLAIN)
    await opened(OLD).put(ACME)
    both = opened(f"{NEW},{OLD}")
    assert await both.load("acme") == (ACME,)
    assert (await both.reencrypt()).count == 2
    assert (await both.reencrypt()).count == 0
    new = opened(NEW)
    assert await new.load("acme") == (ACME,)
    assert columns(uri, "bare")[0].startswith(MARK)
    assert [item.revision for item in await new.get("acme")] == [1]
    lost = await opened(OLD).reencrypt()
    assert lost.count == 0
    assert len(lost.problems) == 2
    assert "does not hold" in lost.problems[0]


def test_cryptography_is_only_imported_with_a_key(uri: str) -> None:
    program = """
import asyncio, sys
from worker.settings.settings import load
from worker.process.sources import webhook_source
async def main():
    source = webhook_source(load({"DATABASE_CONNECTION_URI": sys.argv[1]}, None)[0])
    await source.prepare()
    await source.store.load("acme")
    await source.store.close()
asyncio.run(main())
print("cryptography" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program, uri], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"

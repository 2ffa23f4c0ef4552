"""EVOLUTION_WEBHOOK_FILE: what it adds to Evolution's rows, what it must not say, and how its changes are told."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.waiting import until
from worker.domain.webhook import Endpoint, RateLimit, Webhook
from worker.stores.beside import EVERY, Beside, file_beside
from worker.stores.paging import page
from worker.webhooks.store import Changed, Page, Stored, StoreUnavailable

ROWS = (
    Webhook("acme", "https://h.example/acme", events=frozenset({"CALL"}), headers=(("X-A", "1"),), instance_id="id-1"),
    Webhook("loja", "https://h.example/loja", enabled=False, by_events=True),
)


class Rows:
    """Evolution's rows, in memory; `tell` is what they call when one changes."""

    def __init__(self) -> None:
        self.stored = {webhook.instance: Stored(webhook, 7, 1, 2) for webhook in ROWS}
        self.tell: Changed | None = None

    async def load(self, instance: str) -> tuple[Webhook, ...]:
        return tuple(stored.webhook for stored in await self.get(instance))

    async def get(self, instance: str) -> tuple[Stored, ...]:
        return (self.stored[instance],) if instance in self.stored else ()

    async def list(self, after: Endpoint | None, limit: int) -> Page:
        return page(self.stored.values(), after, limit)

    async def instances(self) -> tuple[str, ...]:
        return (*self.stored, "without a webhook")

    async def check(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def watch(self, changed: Changed, missed: Callable[[], None]) -> None:
        self.tell = changed
        await asyncio.Event().wait()


def beside(path: Path, text: str) -> tuple[Beside, Rows]:
    path.write_text(text)
    rows = Rows()
    return Beside(rows, file_beside(path)), rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "beside.toml"


ACME = """[[webhook]]
instance = "acme"
ignore = ["groups"]
media = "strip"
filter = { "data.key.fromMe" = false }
ttl_seconds = { QRCODE_UPDATED = 60 }
rate_limit = { per_second = 5, burst = 9 }
timeout_ms = 1500
"""
ALL = f'[[webhook]]\ninstance = "{EVERY}"\nignore = ["status"]\n'


async def test_a_row_is_completed_and_all_that_evolution_says_of_it_stays(path: Path) -> None:
    store, rows = beside(path, ACME)
    (stored,) = await store.get("acme")
    row, webhook = ROWS[0], stored.webhook
    assert (stored.revision, stored.created_at, stored.updated_at) == (7, 1, 2)
    assert (webhook.url, webhook.events, webhook.headers, webhook.instance_id) == (
        row.url, row.events, row.headers, "id-1",
    )  # fmt: skip
    assert (webhook.ignore, webhook.media, webhook.timeout_ms) == ({"groups"}, "strip", 1500)
    assert (webhook.filter, webhook.ttl_seconds) == ('{"data.key.fromMe":false}', (("QRCODE_UPDATED", 60.0),))
    assert webhook.rate_limit == RateLimit(5, 9)
    assert webhook.chooses
    assert await store.load("loja") == (rows.stored["loja"].webhook,)
    assert await store.load("nobody") == ()


async def test_every_instance_without_a_table_of_its_own_has_that_of_the_star(path: Path) -> None:
    store, _ = beside(path, ALL + ACME)
    assert [webhook.ignore for name in ("acme", "loja") for webhook in await store.load(name)] == [
        {"groups"},
        {"status"},
    ]
    (loja,) = await store.load("loja")
    assert (loja.enabled, loja.by_events, loja.instance) == (False, True, "loja")
    found = await store.list(None, 10)
    assert [item.webhook.ignore for item in found.items] == [{"groups"}, {"status"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('url = "https://h.example/"', "line 3, webhook 1: url: Evolution's own row says it: change it there"),
        ("enabled = true", "enabled: Evolution's own row says it"),
        ("events = []", "events: Evolution's own row says it"),
        ("headers = { a = 'b' }", "headers: Evolution's own row says it"),
        ('id = "deflaut"', "id: must be default, or left out: Evolution has one webhook an instance"),
        ("by_events = true", "by_events: Evolution's own row says it"),
        ('filter = { "data.n" = { "$gt" = "x", "$no" = 1 } }', "line 3, webhook 1: filter.data.n.$no: "),
        ('ignore = ["gruops"]', "ignore[0]: 'gruops' "),
        ("max_body_bytes = 5", "max_body_bytes: "),
        ('only_chats = ["me"]', "only_chats[0]: "),
        ("colour = 1", "colour: is not a field of a webhook"),
        ('secret = "hunter2"', "secrets[0]: must be whsec_"),
    ],
)
async def test_what_it_must_not_say_is_named_with_line_and_field(path: Path, text: str, said: str) -> None:
    store, _ = beside(path, f'[[webhook]]\ninstance = "acme"\n{text}\n')
    with pytest.raises(StoreUnavailable) as caught:
        await store.check()
    assert f"EVOLUTION_WEBHOOK_FILE {path}: " in str(caught.value)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_tables_for_which_there_is_no_row_are_told_but_not_the_star(path: Path) -> None:
    store, _ = beside(path, ALL + ACME + '[[webhook]]\ninstance = "amce"\n')
    assert await store.unused(ROWS) == (Endpoint("amce", "default"),)


async def test_changes_of_either_are_told_with_numbers_that_never_repeat(path: Path) -> None:
    store, rows = beside(path, ACME)
    told: list[tuple[str, int]] = []
    forgotten: list[None] = []
    await store.check()
    await store.load("loja")
    watching = asyncio.create_task(store.watch(lambda *change: told.append(change), lambda: forgotten.append(None)))
    try:
        await until(lambda: rows.tell is not None, "who tells")
        assert rows.tell is not None
        rows.tell("loja", 2)
        path.write_text(ACME.replace("groups", "channels"))
        await until(lambda: len(told) == 2, "a change that was told")
        assert told == [("loja", 1), ("acme", 2)]
        assert [webhook.ignore for webhook in await store.load("acme")] == [{"channels"}]
        path.write_text(ALL + ACME.replace("groups", "channels"))
        await until(lambda: len(told) == 3, "a change that was told")
        assert (told[2], forgotten) == (("loja", 3), [])
        assert [webhook.ignore for webhook in await store.load("loja")] == [{"status"}]
    finally:
        watching.cancel()


async def test_a_broken_version_changes_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, _ = beside(path, ACME)
    await store.check()
    for broken in (ACME + 'url = "https://h.example/"\n', ""):
        path.write_text(broken)
        assert [webhook.ignore for webhook in await store.load("acme")] == [{"groups"}]
    assert "EVOLUTION_WEBHOOK_FILE" in caplog.text
    assert "the version before it stays in force" in caplog.text

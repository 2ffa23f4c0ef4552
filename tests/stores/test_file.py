"""WEBHOOK_SOURCE=file: what is read, what is refused and how it is said, and how a change comes in force."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.waiting import eventually
from worker.domain.webhook import Endpoint, RateLimit, Webhook
from worker.stores.file.format import BrokenFile, parse, written
from worker.stores.file.store import FileStore
from worker.stores.read_only import ReadOnly
from worker.webhooks.store import StoreReadOnly, StoreUnavailable

EXAMPLE = Path(__file__).parents[2] / "config" / "webhooks.example.toml"
URL = "https://h.example/x"
SECRET = "whsec_" + "A" * 43 + "="


def table(instance: str, url: str = URL, **more: str) -> str:
    rest = "".join(f"{name} = {value}\n" for name, value in more.items())
    return f'[[webhook]]\ninstance = "{instance}"\nurl = "{url}"\n{rest}'


def problems(text: str | bytes) -> str:
    with pytest.raises(BrokenFile) as caught:
        parse(text.encode() if isinstance(text, str) else text)
    return str(caught.value)


def test_the_example_loads() -> None:
    first, audit, images, off = parse(EXAMPLE.read_bytes())
    assert (first.instance, first.by_events) == ("acme", True)
    assert first.events == {"MESSAGES_UPSERT", "CONNECTION_UPDATE"}
    assert (audit.id, audit.rate_limit, len(audit.secrets)) == ("audit", RateLimit(10, 20), 1)
    assert [name for name, _ in audit.headers] == ["X-Tenant", "jwt_key"]
    assert (images.media, images.ttl_seconds) == ("strip", (("QRCODE_UPDATED", 60.0),))
    assert images.filter == '{"data.message.audioMessage.ptt":{"$ne":true}}'
    assert (off.instance, off.enabled) == ("loja 1", False)


def test_an_empty_file_holds_no_webhooks() -> None:
    assert parse(b"") == ()


def test_a_single_secret_needs_no_list() -> None:
    assert parse(table("acme", secret=f'"{SECRET}"').encode())[0].secrets == (SECRET,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[webhook]]\nurl = x\n", "at line 2, column 7"),
        (b"# ok\n\xff", "line 2: is not UTF-8"),
        ("webhooks = 1", "'webhooks': the file holds [[webhook]] tables and nothing else"),
        ("[webhook]\nurl = 'x'", "'webhook': the file holds [[webhook]]"),
        (table("acme") * 2, "webhook 'default' of instance 'acme' is there twice"),
        (table("acme", timeout_ms="0"), "line 4, webhook 1: timeout_ms: "),
        (table("a") + "\n" + table("b", "ftp://h/"), "line 7, webhook 2: url: must begin with http"),
        (table("acme", event='["CALL"]'), "line 4, webhook 1: event: is not a field of a webhook"),
        (table("acme", events='["MESAGES_UPSERT"]'), "events[0]: 'MESAGES_UPSERT' is not an event; the nearest is MES"),
        ("[[webhook]]\ninstance = 'a'\n", "line 1, webhook 1: url: is required"),
        (table("a", secret='"whsec_hunter2"'), "line 4, webhook 1: secrets[0]: must be whsec_"),
        ('webhook = [{instance = "a"}]', "webhook 1: url: is required"),
        ("[[webhook]]\nx = " + "[" * 5000, "nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_line_and_field(text: str | bytes, said: str) -> None:
    found = problems(text)
    assert said in found
    assert "hunter2" not in found


def test_every_problem_is_told_up_to_twenty() -> None:
    found = problems("".join(table(f"i{number}", timeout_ms="0", concurrency="0") for number in range(15)))
    assert found.count("webhook ") == 20
    assert found.endswith("and 10 more")


def test_a_file_of_any_size_is_refused_before_it_is_parsed() -> None:
    assert problems(b"#" * (16 * 2**20 + 1)) == "it is larger than 16 MiB"


def test_what_is_written_reads_the_same() -> None:
    full = Webhook(
        'a"c\\me \x7f ção', "https://u:p@h.example/x?q=1", id="audit", enabled=False, events=frozenset({"CALL"}),
        by_events=True, headers=(("X-Key", 'va"lue\t'),), secrets=(SECRET,), timeout_ms=5, concurrency=6,
        rate_limit=RateLimit(0.5, 7),
    )  # fmt: skip
    full = Webhook(**{f: getattr(full, f) for f in full.__slots__} | {"instance": 'a"c\\me ção'})  # type: ignore[arg-type]
    webhooks = (full, Webhook("plain", URL))
    assert parse(written(webhooks, with_secrets=True).encode()) == webhooks
    masked = written(webhooks, with_secrets=False)
    assert SECRET not in masked
    assert "va" not in masked
    assert "# headers: left out" in masked


class Changes:
    """What the store told, and a way to wait for it."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def changed(self, instance: str, revision: int) -> None:
        self.told.append((instance, revision))

    def missed(self) -> None:
        raise AssertionError("a file is always known whole")

    async def names(self, *expected: str) -> float:
        """Seconds until exactly these were told."""

        async def told() -> list[str]:
            return sorted(name for name, _ in self.told)

        began = time.monotonic()
        await eventually(told, lambda found: found == sorted(expected), 5, "changes")
        self.told.clear()
        return time.monotonic() - began


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "webhooks.toml"
    found.write_text(table("acme") + table("loja"))
    return found


@pytest.fixture
async def watched(path: Path) -> AsyncIterator[tuple[FileStore, Changes]]:
    store, changes = FileStore(path), Changes()
    await store.check()
    task = asyncio.create_task(store.watch(changes.changed, changes.missed))
    yield store, changes
    task.cancel()
    await asyncio.wait((task,))
    await store.close()


def replace_file(path: Path, text: str) -> None:
    (path.parent / "new").write_text(text)
    (path.parent / "new").replace(path)


async def test_an_atomic_rename_is_in_force_within_a_second_for_exactly_what_changed(
    path: Path, watched: tuple[FileStore, Changes]
) -> None:
    store, changes = watched
    replace_file(path, table("acme", "https://new.example/") + table("loja") + table("third"))
    assert await changes.names("acme", "third") < 1
    assert [w.url for w in await store.load("acme")] == ["https://new.example/"]
    replace_file(path, table("loja"))
    await changes.names("acme", "third")
    assert await store.load("acme") == ()


async def test_a_file_written_in_place_is_seen(path: Path, watched: tuple[FileStore, Changes]) -> None:
    _, changes = watched
    path.write_text(table("acme", "https://h.example/y") + table("loja"))
    assert await changes.names("acme") < 1


async def test_kubernetes_swap_of_a_configmaps_folder_is_seen(tmp_path: Path) -> None:
    for version, url in (("..1", URL), ("..2", "https://new.example/")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "webhooks.toml").write_text(table("acme", url))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "webhooks.toml").symlink_to("..data/webhooks.toml")
    store, changes = FileStore(tmp_path / "webhooks.toml"), Changes()
    assert (await store.load("acme"))[0].url == URL
    task = asyncio.create_task(store.watch(changes.changed, changes.missed))
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    assert await changes.names("acme") < 1
    assert (await store.load("acme"))[0].url == "https://new.example/"
    task.cancel()
    await asyncio.wait((task,))


@pytest.mark.parametrize("broken", [table("acme", timeout_ms="0"), None])
async def test_a_broken_or_vanished_version_is_said_once_and_the_old_one_stays(
    path: Path, watched: tuple[FileStore, Changes], caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    store, changes = watched
    if broken is None:
        path.unlink()
    else:
        replace_file(path, broken)

    async def errors() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]

    (said,) = await eventually(errors, bool, 5, "the refusal")
    assert "timeout_ms" in said if broken else "No such file" in said
    assert f"WEBHOOK_FILE {path}" in said
    assert "the version before it stays" in said
    assert len(await store.load("acme")) == 1
    replace_file(path, table("acme"))
    await changes.names("loja")
    assert len(await errors()) == 1


async def test_a_touched_file_tells_nobody(path: Path, watched: tuple[FileStore, Changes]) -> None:
    _, changes = watched
    os.utime(path)
    replace_file(path, "# a comment\n" + table("loja") + table("acme"))
    replace_file(path, table("acme") + table("loja") + table("last"))
    await changes.names("last")


async def test_a_process_that_does_not_watch_reads_a_new_version_when_it_is_asked(path: Path) -> None:
    store = FileStore(path)
    assert await store.load("third") == ()
    replace_file(path, table("third"))
    assert len(await store.load("third")) == 1
    replace_file(path, "broken")
    assert len(await store.load("third")) == 1


async def test_a_broken_file_at_the_start_is_an_error(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "none.toml")
    for call in (store.check(), store.load("acme"), store.instances()):
        with pytest.raises(StoreUnavailable, match=r"WEBHOOK_FILE .*none.toml: cannot be read: No such file"):
            await call


async def test_it_can_be_looked_through_page_by_page(path: Path) -> None:
    path.write_text(table("b") + table("a", id='"z"') + table("a"))
    store = FileStore(path)
    first = await store.list(None, 2)
    assert [item.webhook.endpoint for item in first.items] == [Endpoint("a", "default"), Endpoint("a", "z")]
    last = await store.list(first.following, 2)
    assert [item.webhook.instance for item in last.items] == ["b"]
    assert last.following is None
    assert sorted(await store.instances()) == ["a", "b"]
    assert [item.webhook.id for item in await store.get("a")] == ["default", "z"]


async def test_writes_are_refused_by_the_name_of_the_setting(path: Path) -> None:
    store = ReadOnly(FileStore(path), "file", f"edit {path}")
    assert await store.load("acme") == (Webhook("acme", URL),)
    for call in (store.put(Webhook("acme", URL)), store.delete("acme", None), store.disable(Webhook("a", URL), "x")):
        with pytest.raises(StoreReadOnly, match="WEBHOOK_SOURCE=file: edit"):
            await call

"""WEBHOOK_SOURCE=evolution on real servers, with tables as Evolution's migrations make them and a read-only user."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.evolution import Evolution
from tests.support.mariadb import MariaDB
from tests.support.mysql import DATABASE_SERVERS, MySQL
from tests.support.postgres import Postgres
from tests.support.waiting import eventually
from worker.doctor.asking.tokens import tokens_problem
from worker.domain.webhook import Webhook
from worker.process.sources import webhook_source
from worker.settings.settings import load
from worker.stores.evolution.store import EvolutionStore
from worker.webhooks.store import RowDamaged, StoreUnavailable

NOTIFY = Path(__file__).parents[2] / "deploy" / "sql" / "evolution_notify.sql"
ACME = Webhook("acme", "https://h.example/x")
NewStore = Callable[..., EvolutionStore]


@pytest.fixture(params=DATABASE_SERVERS)
def server(request: pytest.FixtureRequest) -> Postgres | MariaDB:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Postgres | MariaDB)
    return found


def database(server: Postgres | MariaDB, *, headers: bool = True) -> Evolution:
    tag = uuid4().hex[:12]
    return Evolution(server, f"evolution_{tag}", "evolution_api", f"reader_{tag}").create(headers=headers)


@pytest.fixture
def evolution(server: Postgres | MariaDB) -> Evolution:
    return database(server)


@pytest.fixture
async def new_store() -> AsyncIterator[NewStore]:
    made: list[EvolutionStore] = []

    def new(uri: str, *, take_all: bool = False, poll_seconds: float = 2.0) -> EvolutionStore:
        made.append(EvolutionStore(uri, take_all=take_all, clock=time.monotonic, poll_seconds=poll_seconds))
        return made[-1]

    yield new
    for store in made:
        await store.close()


@pytest.fixture
def store(evolution: Evolution, new_store: NewStore) -> EvolutionStore:
    return new_store(evolution.reader_uri)


class Changes:
    """What `watch` told. `started` is set once it has seen the table."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.revisions: list[int] = []
        self.started = asyncio.Event()

    def changed(self, instance: str, revision: int) -> None:
        self.told.append(instance)
        self.revisions.append(revision)

    async def within(self, seconds: float, *expected: str) -> None:
        """Exactly these were told, each once or more."""

        async def told() -> list[str]:
            return sorted(set(self.told))

        await eventually(told, lambda found: found == sorted(expected), seconds, f"changes {expected}")
        self.told.clear()


Watched = Callable[[EvolutionStore], Awaitable[Changes]]


@pytest.fixture
async def watching() -> AsyncIterator[Watched]:
    tasks: list[asyncio.Task[None]] = []

    async def watch(store: EvolutionStore) -> Changes:
        changes = Changes()
        tasks.append(asyncio.create_task(store.watch(changes.changed, changes.started.set)))
        await asyncio.wait_for(changes.started.wait(), 10)
        return changes

    yield watch
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_row_is_read_as_evolution_wrote_it(evolution: Evolution, store: EvolutionStore) -> None:
    evolution.instance("loja 1/ção")
    evolution.webhook(
        "loja 1/ção", "worker+https://u:p@h.example/päth?q=1", events=["MESSAGES_UPSERT", "GROUP_UPDATE"],
        webhookByEvents=True, webhookBase64=True, headers={"X-B": "ü", "jwt_key": "k", "X-N": 5, "X-None": None},
    )  # fmt: skip
    (found,) = await store.load("loja 1/ção")
    assert dict(found.headers) == {"X-B": "ü", "jwt_key": "k", "X-N": "5"}
    events = frozenset({"MESSAGES_UPSERT", "GROUPS_UPDATE"})
    url = "https://u:p@h.example/päth?q=1"
    plain = Webhook("loja 1/ção", url, events=events, by_events=True, base64=True)
    assert replace(found, headers=()) == plain
    assert found.instance_id == "id-loja 1/ção"


async def test_disabled_and_empty_columns(evolution: Evolution, store: EvolutionStore) -> None:
    evolution.instance("acme")
    assert await store.load("acme") == ()
    evolution.webhook("acme", events=None, enabled=False, headers=None, webhookByEvents=None, webhookBase64=None)
    assert await store.load("acme") == (Webhook("acme", "https://h.example/x", enabled=False),)


async def test_the_headers_column_may_be_absent_and_come_later(server: Postgres | MariaDB, new_store: NewStore) -> None:
    old = database(server, headers=False)
    store = new_store(old.reader_uri)
    old.instance("acme")
    old.webhook("acme")
    await store.check()
    assert await store.load("acme") == (ACME,)
    old.add_headers()
    old.webhook("acme", headers={"X-A": "1"})
    await store.list(None, 10)
    assert (await store.load("acme"))[0].headers == (("X-A", "1"),)


async def test_only_marked_rows_are_the_workers_unless_it_takes_all(evolution: Evolution, new_store: NewStore) -> None:
    urls = {"marked": "worker+http://h/", "plain": "https://h/", "odd": "worker+ftp://h/", "empty": ""}
    for name, url in urls.items():
        evolution.instance(name)
        evolution.webhook(name, url)
    marked, taking_all = new_store(evolution.reader_uri), new_store(evolution.reader_uri, take_all=True)
    assert [item.webhook.url for item in (await marked.list(None, 10)).items] == ["http://h/"]
    assert [item.webhook.instance for item in (await taking_all.list(None, 10)).items] == ["marked", "plain"]
    assert (await taking_all.load("plain"))[0].url == "https://h/"
    assert await marked.load("plain") == ()
    assert sorted(await marked.instances()) == ["empty", "marked", "odd", "plain"]


@pytest.mark.parametrize("other", ["Acme", "acme ", "acmé", "ac%", "' OR 1=1 --", "acme\0", "x" * 300])
async def test_names_are_compared_byte_for_byte(evolution: Evolution, store: EvolutionStore, other: str) -> None:
    evolution.instance("acme", "Token")
    evolution.webhook("acme")
    assert await store.load("acme") == (ACME,)
    assert await store.load(other) == ()


async def test_a_token_names_its_instance(evolution: Evolution, store: EvolutionStore) -> None:
    evolution.instance("acme", "Token-1")
    evolution.instance("loja", None)
    assert await store.token_owner("Token-1") == "acme"
    for wrong in ("token-1", "Token-1 ", "", "Token", "\0"):
        assert await store.token_owner(wrong) is None


async def test_tokens_are_looked_up_there_while_webhooks_are_our_own(evolution: Evolution, tmp_path: Path) -> None:
    evolution.instance("acme", "Token-1")
    own = {"DATABASE_CONNECTION_URI": f"sqlite:///{tmp_path}/webhooks.db", "INSTANCE_TOKENS_URI": evolution.reader_uri}
    settings, _ = load(own, None)
    source = webhook_source(settings)
    assert source.writable is source.store
    assert source.token_owner is not None
    assert (await source.token_owner("Token-1"), await source.token_owner("Token-2")) == ("acme", None)
    assert settings.instance_tokens_uri is not None
    assert await tokens_problem(settings.instance_tokens_uri) is None
    evolution.execute(f"ALTER TABLE {evolution.table('Instance')} DROP COLUMN {evolution.name('token')}")
    assert isinstance(await tokens_problem(settings.instance_tokens_uri), StoreUnavailable)
    await source.close()


async def test_a_row_that_is_no_webhook_names_its_column_and_hurts_no_other(
    evolution: Evolution, store: EvolutionStore
) -> None:
    for name in ("acme", "bad"):
        evolution.instance(name)
        evolution.webhook(name)
    evolution.webhook("bad", headers=["hunter2"])
    with pytest.raises(RowDamaged, match="column `headers` of Evolution's webhook of instance 'bad'") as caught:
        await store.load("bad")
    assert "hunter2" not in str(caught.value)
    assert await store.load("acme") == (ACME,)
    found = await store.list(None, 10)
    assert [item.webhook.instance for item in found.items] == ["acme"]
    (problem,) = found.unreadable
    assert problem == str(caught.value)


async def test_changes_are_told_within_five_seconds_and_nobody_else_is_disturbed(
    evolution: Evolution, store: EvolutionStore, watching: Watched
) -> None:
    for name in ("acme", "loja", "third"):
        evolution.instance(name)
        evolution.webhook(name)
    changes = await watching(store)
    evolution.webhook("acme", "worker+https://new.example/")
    await changes.within(5, "acme")
    assert (await store.load("acme"))[0].url == "https://new.example/"
    evolution.instance("fourth")
    evolution.webhook("fourth")
    await changes.within(5, "fourth")
    evolution.delete_webhook("loja")
    await changes.within(5, "loja")
    assert await store.load("loja") == ()
    assert changes.revisions == sorted(set(changes.revisions))


async def test_a_second_change_in_the_same_moment_and_one_by_a_slow_clock_are_seen(
    evolution: Evolution, new_store: NewStore, watching: Watched
) -> None:
    for name in ("acme", "loja"):
        evolution.instance(name)
        evolution.webhook(name, at="'2026-11-22 10:00:00'")
    changes = await watching(new_store(evolution.reader_uri, poll_seconds=0.2))
    evolution.webhook("acme", "worker+https://1.example/", at="'2026-11-22 10:00:09'")
    await changes.within(5, "acme")
    evolution.webhook("acme", "worker+https://2.example/", at="'2026-11-22 10:00:09'")
    await changes.within(5, "acme")
    evolution.webhook("loja", "worker+https://3.example/", at="'2026-11-21 23:00:00'")
    await changes.within(5, "loja")


async def test_a_row_that_is_saved_again_without_a_difference_disturbs_nobody(
    evolution: Evolution, new_store: NewStore, watching: Watched
) -> None:
    for name in ("acme", "loja"):
        evolution.instance(name)
        evolution.webhook(name)
    changes = await watching(new_store(evolution.reader_uri, poll_seconds=0.1))
    evolution.webhook("acme", at="'2030-01-01 00:00:00'")
    evolution.webhook("loja", "worker+https://new.example/")
    await changes.within(5, "loja")


async def test_the_last_known_webhook_serves_the_events_of_its_instances_deletion(
    evolution: Evolution, store: EvolutionStore, watching: Watched
) -> None:
    for name, events in (("all", []), ("some", ["CALL", "INSTANCE_DELETE"]), ("none", ["CALL"])):
        evolution.instance(name)
        evolution.webhook(name, events=events)
    changes = await watching(store)
    for name in ("all", "some", "none"):
        evolution.delete_instance(name)
    assert (await store.load("some"))[0].events == {"INSTANCE_DELETE"}
    await changes.within(5, "all", "some", "none")
    assert (await store.load("all"))[0].events == {"INSTANCE_DELETE", "REMOVE_INSTANCE", "LOGOUT_INSTANCE"}
    assert await store.load("none") == ()
    evolution.instance("all")
    assert await store.load("all") == ()
    evolution.delete_instance("all")
    assert await store.load("all") == ()


@pytest.mark.parametrize("kind", [Postgres, MariaDB, *([MySQL] if MySQL.found() else [])])
async def test_a_lost_connection_comes_back_and_what_changed_meanwhile_is_told(
    kind: type[Postgres | MariaDB], new_store: NewStore, watching: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    with kind() as server:
        evolution = database(server)
        for name in ("acme", "loja"):
            evolution.instance(name)
            evolution.webhook(name)
        store = new_store(evolution.reader_uri, poll_seconds=0.2)
        changes = await watching(store)
        await asyncio.to_thread(server.stop)
        with pytest.raises(StoreUnavailable):
            await store.load("acme")

        async def said() -> int:
            return caplog.text.count("cannot be seen")

        await eventually(said, bool, 20, "the outage in the log")
        await asyncio.to_thread(server.start)
        evolution.webhook("loja", "worker+https://new.example/")
        await changes.within(15, "loja")
        assert await store.load("acme") == (ACME,)
        assert await said() == 1


async def test_a_writing_user_could_not_write_either(
    server: Postgres | MariaDB, evolution: Evolution, new_store: NewStore
) -> None:
    evolution.instance("acme")
    evolution.webhook("acme")
    store = new_store(evolution.uri)
    await store.check()
    tables = store._tables()
    wrong = f"DELETE FROM {evolution.table('Webhook')}"
    with pytest.raises(StoreUnavailable, match=r"(?i)read.only transaction"), tables._reading() as connection:
        connection.exec_driver_sql(wrong)
    assert await store.load("acme") == (ACME,)


async def test_missing_tables_and_rights_are_named(
    server: Postgres | MariaDB, evolution: Evolution, new_store: NewStore
) -> None:
    empty = server.create_database(f"empty_{uuid4().hex[:12]}")
    with pytest.raises(StoreUnavailable, match="has no tables of Evolution 2"):
        await new_store(empty).check()
    if isinstance(server, Postgres):
        evolution.execute(f'REVOKE SELECT ON evolution_api."Instance" FROM {evolution.reader}')
    else:
        evolution.execute(f"REVOKE SELECT ON `{evolution.database}`.* FROM '{evolution.reader}'@'127.0.0.1'")
        evolution.execute(f"GRANT SELECT ON `{evolution.database}`.`Webhook` TO '{evolution.reader}'@'127.0.0.1'")
    with pytest.raises(StoreUnavailable, match="GRANT SELECT"):
        await new_store(evolution.reader_uri).check()


async def test_the_trigger_tells_at_once(postgres: Postgres, new_store: NewStore, watching: Watched) -> None:
    evolution = database(postgres)
    for _ in range(2):
        evolution.execute('SET search_path = "evolution_api";' + NOTIFY.read_text())
    for name in ("acme", "loja", "gone"):
        evolution.instance(name)
        evolution.webhook(name)
    store = new_store(evolution.reader_uri, poll_seconds=300)
    changes = await watching(store)

    async def told() -> list[str]:
        return changes.told

    async def listening() -> bool:
        evolution.webhook("loja", f"worker+https://{uuid4().hex}.example/")
        return bool(changes.told)

    await eventually(listening, bool, 10, "the first notification")
    evolution.webhook("acme", "worker+https://new.example/", at="'2020-01-01'")
    await eventually(told, lambda names: "acme" in names, 1, "the change")
    evolution.delete_instance("gone")
    await eventually(told, lambda names: "gone" in names, 1, "the deletion")
    assert (await store.load("gone"))[0].events
    assert set(changes.told) == {"acme", "gone", "loja"}
    evolution.delete_webhook("acme")
    await eventually(told, lambda names: names.count("acme") == 2, 1, "the deletion of a webhook")


def test_sqlite_is_no_database_of_evolutions() -> None:
    with pytest.raises(ValueError, match="postgresql:// or mysql://"):
        EvolutionStore("sqlite:///x.db", take_all=False, clock=time.monotonic)

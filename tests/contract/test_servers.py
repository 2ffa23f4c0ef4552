"""What only a database server can do: schemas, rights, passwords, absence. Texts name no credentials."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.contract.conftest import Clock
from tests.support.mariadb import MariaDB
from tests.support.mysql import DATABASE_SERVERS, MYSQL_SERVERS
from tests.support.postgres import Postgres
from worker.doctor.asking.server import server_facts
from worker.domain.webhook import Webhook
from worker.stores.database import parse
from worker.stores.own.store import SqlStore
from worker.webhooks.store import RightsLacking, StoreUnavailable

ACME = Webhook("acme", "https://h.example/x")


@pytest.fixture
async def opened() -> AsyncIterator[list[SqlStore]]:
    stores: list[SqlStore] = []
    yield stores
    for store in stores:
        await store.close()


def open_store(uri: str, opened: list[SqlStore]) -> SqlStore:
    opened.append(SqlStore(uri, Clock()))
    return opened[-1]


async def test_the_schema_of_evolutions_uri_is_used_and_prismas_options_are_ignored(
    postgres: Postgres, opened: list[SqlStore]
) -> None:
    uri = postgres.create_database(f"test_{uuid4().hex}")
    one = open_store(f"{uri}?schema=Evolution%20API&connection_limit=5", opened)
    other = open_store(uri, opened)
    await one.migrate()
    await one.check()
    await one.put(ACME)
    await other.migrate()
    assert await one.load("acme") == (ACME,)
    assert await other.load("acme") == ()
    assert (await one.put(ACME)).revision == 2


async def test_missing_rights_are_named_by_check(postgres: Postgres, opened: list[SqlStore]) -> None:
    name, role = f"test_{uuid4().hex}", f"role_{uuid4().hex}"
    uri = postgres.create_database(name)
    await open_store(uri, opened).migrate()
    postgres.execute(name, f"CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    reader = open_store(uri.replace("worker:secret", f"{role}:x"), opened)
    assert await reader.load("acme") == ()
    with pytest.raises(RightsLacking, match="lacks the rights"):
        await reader.check()


@pytest.mark.parametrize("server", MYSQL_SERVERS)
async def test_a_wrong_password_is_named_and_not_shown(
    server: str, request: pytest.FixtureRequest, opened: list[SqlStore]
) -> None:
    running: MariaDB = request.getfixturevalue(server)
    uri = running.create_database(f"test_{uuid4().hex}")
    with pytest.raises(StoreUnavailable, match="Access denied") as caught:
        await open_store(uri.replace("secret", "hunter2"), opened).load("acme")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
async def test_a_server_that_is_not_there_is_an_outage(scheme: str, opened: list[SqlStore]) -> None:
    store = open_store(f"{scheme}://worker:hunter2@127.0.0.1:1/evolution", opened)
    for call in (store.load("acme"), store.check(), store.migrate(), store.put(ACME)):
        with pytest.raises(StoreUnavailable, match=rf"DATABASE_CONNECTION_URI {scheme}://127.0.0.1:1/evo") as caught:
            await call
        assert "hunter2" not in str(caught.value)


@pytest.mark.servers
async def test_a_restart_of_the_server_needs_none_of_the_worker(opened: list[SqlStore]) -> None:
    with Postgres() as server:
        store = open_store(server.create_database("own"), opened)
        await store.migrate()
        await store.put(ACME)
        server.stop()
        with pytest.raises(StoreUnavailable):
            await store.load("acme")
        server.start()
        assert await store.load("acme") == (ACME,)


@pytest.mark.parametrize("server", DATABASE_SERVERS)
def test_a_servers_clock_is_read_whatever_its_time_zone(server: str, request: pytest.FixtureRequest) -> None:
    running = request.getfixturevalue(server)
    name = f"test_{uuid4().hex}"
    uri = running.create_database(name)
    if server == "postgres":
        running.execute(name, f"ALTER DATABASE {name} SET timezone = 'America/Sao_Paulo'")
    else:
        running.execute(name, "SET GLOBAL time_zone = '-03:00'")
    try:
        facts = server_facts(parse(uri))
    finally:
        if server != "postgres":
            running.execute(name, "SET GLOBAL time_zone = 'SYSTEM'")
    assert facts is not None
    assert abs(facts.ahead) <= facts.uncertain + 0.01  # one machine, one clock
    assert facts.may_create is (True if server == "postgres" else None)


@pytest.mark.parametrize("server", DATABASE_SERVERS)
async def test_a_user_who_may_only_read_is_seen(
    server: str, request: pytest.FixtureRequest, opened: list[SqlStore]
) -> None:
    running = request.getfixturevalue(server)
    name, reader = f"test_{uuid4().hex}", f"reader_{uuid4().hex[:8]}"
    uri = running.create_database(name)
    if server == "postgres":
        # Before PostgreSQL 15 everybody may create in `public`.
        running.execute(name, f"REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE {reader} LOGIN")
    else:
        host = f"'{reader}'@'127.0.0.1'"
        running.execute(name, f"CREATE USER {host} IDENTIFIED BY 'x'", f"GRANT SELECT ON `{name}`.* TO {host}")
    theirs = parse(uri.replace("worker:secret", f"{reader}:x"))
    before = server_facts(theirs)
    await open_store(uri, opened).migrate()
    if server == "postgres":
        running.execute(name, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}")
    after, owner = server_facts(theirs), server_facts(parse(uri))
    assert before is not None
    assert after is not None
    assert owner is not None
    assert before.may_create is False
    assert after.may_write is False
    assert owner.may_write is (True if server == "postgres" else None)


def test_sqlite_has_no_server() -> None:
    assert server_facts(parse("sqlite:///webhooks.db")) is None

"""What tests share: real servers for the whole session; names, a receiver and workers for each test."""

from __future__ import annotations

import gc
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.mariadb import MariaDB
from tests.support.mysql import MySQL
from tests.support.postgres import Postgres
from tests.support.receiver import Receiver
from tests.support.worker import PROGRAM, Worker

StartWorker = Callable[..., Awaitable[Worker]]

settings.register_profile("busy-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy-machine")

SERVERS = frozenset({"broker", "driver", "postgres", "mariadb", "mysql", "postgresql", Postgres, MariaDB, MySQL})
"""Fixtures that start a server, and values of parameters that stand for one (`uri[postgresql]`)."""

WITH_SERVERS = ("e2e", "deploy", "proof")
"""Folders whose tests start further ones themselves, or use programs that only `make test` installs."""


def pytest_configure() -> None:
    """Thousands of tests are a heap that the collector walks again and again, to find nothing in it: not while it is
    made, and not afterwards. What a test leaves behind is still collected."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a server, so that `make check` (`-m "not servers"`) runs all the rest."""
    for item in items:
        if _needs_servers(item):
            item.add_marker(pytest.mark.servers)


def _needs_servers(item: pytest.Item) -> bool:
    if item.path.relative_to(Path(__file__).parent).parts[0] in WITH_SERVERS:
        return True
    parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
    used = {*getattr(item, "fixturenames", ()), *(one for one in parameters if isinstance(one, str | type))}
    return not SERVERS.isdisjoint(used)


@pytest.fixture(scope="session")
def broker() -> Iterator[LocalBroker]:
    """Shared by all tests: those that stop, kill or choke it take a LocalBroker of their own."""
    with LocalBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    with MariaDB() as server:
        yield server


@pytest.fixture(scope="session")
def mysql() -> Iterator[MySQL]:
    """Only where `MySQL.found()`: ask for it by way of DATABASE_SERVERS or MYSQL_SERVERS."""
    with MySQL() as server:
        yield server


@pytest.fixture
async def amqp(broker: LocalBroker) -> AsyncIterator[Amqp]:
    async with await Amqp.connect(broker.uri) as amqp:
        yield amqp


@pytest.fixture
async def names(amqp: Amqp) -> AsyncIterator[Names]:
    """An exchange and a queue prefix of the test's own; all of it is deleted afterwards."""
    tag = secrets.token_hex(4)
    names = Names(prefix=f"test-{tag}", exchange=f"evolution-{tag}")
    yield names
    await amqp.delete(names)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def worker(broker: LocalBroker, names: Names, tmp_path: Path) -> AsyncIterator[StartWorker]:
    """`await worker(SETTING="value", ...)` starts one, ready, on this test's broker, queues and SQLite file.

    `ready=False`: no wait; `arguments=("dead", "list")` runs another command, `program` another program;
    `start=False` does not start.
    Whatever still runs at the end of the test is killed, and its output shown if the test fails.
    """
    started: list[Worker] = []
    defaults = {
        "RABBITMQ_URI": broker.uri,
        "DATABASE_CONNECTION_URI": f"sqlite:///{tmp_path / 'webhooks.db'}",
        "HISTORY_DATABASE_URI": f"sqlite:///{tmp_path / 'history.db'}",
        "EGRESS_ALLOW": "127.0.0.0/8",
        "LOG_LEVEL": "debug",
        "ARCHIVE": "false",  # a stream for each test would cost the broker more than the test
        **names.environment(),
    }

    async def run(
        *,
        arguments: Sequence[str] = ("run",),
        program: Sequence[str] = PROGRAM,
        start: bool = True,
        ready: bool = True,
        **settings: str,
    ) -> Worker:
        worker = Worker({**defaults, **settings}, arguments, program)
        started.append(worker)
        if start:
            await worker.start(ready=ready)
        return worker

    yield run
    for number, one in enumerate(started, 1):
        await one.kill()
        print(f"--- worker {number}\n{one.output()}")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections: bound, so that nobody else gets it, but not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]

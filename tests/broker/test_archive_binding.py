"""An archive that no exchange fills is none: the keeper says so, and nobody can pause with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest

from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from worker.basics.address import Address
from worker.broker.address import broker_address
from worker.broker.archive import keeping
from worker.broker.archive.keeping import ArchiveKeeper
from worker.broker.archive.reading import Archive
from worker.broker.declare import open_channel
from worker.broker.frames import Depth, bind_queue, declare_exchange, declare_queue
from worker.broker.topology import archive_queue
from worker.domain.webhook import Endpoint, Webhook
from worker.process.replays import Replays
from worker.replay.archive import Begin, Nothing
from worker.replay.jobs import CannotReplay
from worker.settings.settings import load
from worker.stores.own.store import SqlStore

ACME = Webhook("acme", "https://h.example/")


async def kept(uri: Address, names: Names) -> bool:
    """What the keeper says after its first look."""
    said = asyncio.get_running_loop().create_future()

    async def none() -> Iterable[str]:
        return ()

    queue = archive_queue(names.prefix, 1, 10_000_000)
    keeper = ArchiveKeeper(uri, queue, names.exchange, none, said.set_result, declares=True)
    running = asyncio.ensure_future(keeper.run())
    try:
        return bool(await asyncio.wait_for(said, 30))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    """With ACME."""
    store = SqlStore(f"sqlite:///{tmp_path}/webhooks.db", lambda: 0)
    await store.migrate()
    await store.put(ACME)
    yield store
    await store.close()


@pytest.fixture
async def opened(
    broker: LocalBroker, names: Names, tmp_path: Path, store: SqlStore
) -> AsyncIterator[Callable[..., Replays]]:
    """`opened(SETTING="value")`: what pauses."""
    given = {
        "DATABASE_CONNECTION_URI": f"sqlite:///{tmp_path}/webhooks.db",
        "HISTORY_DATABASE_URI": f"sqlite:///{tmp_path}/history.db",
        "RABBITMQ_URI": broker.uri,
        "RABBITMQ_EXCHANGE_NAME": names.exchange,
        "WORKER_QUEUE_PREFIX": names.prefix,
    }
    made: list[Replays] = []

    async def changed(instance: str, revision: int) -> None:
        assert (instance, revision > 0) == ("acme", True)

    def open_(**settings: str) -> Replays:
        made.append(Replays(load({**given, **settings}, None)[0], store, changed))
        return made[-1]

    yield open_
    for each in made:
        await each.close()


async def test_without_an_exchange_nothing_is_archived_and_nothing_is_paused(
    broker: LocalBroker, amqp: Amqp, names: Names, store: SqlStore, opened: Callable[..., Replays]
) -> None:
    replays, uri = opened(), broker_address(broker.uri)
    assert await kept(uri, names) is False
    with pytest.raises(CannotReplay, match=rf"no event reaches {names.prefix}\.archive.*no exchange {names.exchange}"):
        await replays.pause(Endpoint("acme", "default"))
    assert await store.load("acme") == (ACME,)
    await declare_exchange(await open_channel(amqp.connection), names.exchange)
    assert (await replays.pause(Endpoint("acme", "default"))).webhook.paused_at is not None
    assert await kept(uri, names) is True


async def test_an_archive_is_born_with_its_first_binding_and_not_before(
    broker: LocalBroker, amqp: Amqp, names: Names
) -> None:
    """What came while it was there and not bound is gone, and is said to be."""
    assert await kept(broker_address(broker.uri), names) is False
    unbound = int(time.time() * 1000)
    await declare_exchange(await open_channel(amqp.connection), names.exchange)
    assert await kept(broker_address(broker.uri), names) is True
    await amqp.publish_event(names.exchange, "messages.upsert", event())
    begin = await Archive(amqp.connection, f"{names.prefix}.archive").begin(unbound / 1000 - 60)
    assert isinstance(begin, Begin)
    assert begin.born is not None
    assert begin.born > unbound
    assert "the archive was made at" in str(begin.gone(unbound))


async def test_an_archive_that_was_read_before_anything_filled_it_is_born_all_the_same(
    broker: LocalBroker, amqp: Amqp, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers leave marks of theirs in front of its birth. RabbitMQ counts them seconds later: here, at once."""

    async def counted(*_: object) -> Depth:
        return Depth(1, 0)

    uri, archive = broker_address(broker.uri), Archive(amqp.connection, names.archive)
    assert await kept(uri, names) is False
    before = int(time.time() * 1000)
    assert isinstance(await archive.begin(before / 1000), Nothing)
    monkeypatch.setattr(keeping, "depth", counted)
    await declare_exchange(await open_channel(amqp.connection), names.exchange)
    for _ in range(2):
        assert await kept(uri, names) is True
        await amqp.publish_event(names.exchange, "messages.upsert", event())
    begin = await archive.begin(before / 1000 - 60)
    assert isinstance(begin, Begin)
    assert (begin.truncated, (begin.born or 0) > before) == (False, True)
    assert "the archive was made at" in str(begin.gone(before))
    assert begin.gone(begin.born or 0) is None


async def test_with_a_binding_of_the_operators_nobody_pauses_before_an_event_has_come(
    amqp: Amqp, names: Names, opened: Callable[..., Replays]
) -> None:
    replays, queue = opened(RABBITMQ_DECLARE="false"), archive_queue(names.prefix, 1, 10_000_000)
    channel = await open_channel(amqp.connection)
    await declare_exchange(channel, names.exchange)
    await declare_queue(channel, queue.name, queue.arguments)
    with pytest.raises(CannotReplay, match=r"no event has reached .* RABBITMQ_DECLARE=false: bind it to the exchange"):
        await replays.pause(Endpoint("acme", "default"))
    await bind_queue(channel, queue.name, names.exchange)
    await amqp.publish_event(names.exchange, "messages.upsert", event())
    assert (await replays.pause(Endpoint("acme", "default"))).webhook.paused_at is not None

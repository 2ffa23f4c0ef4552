"""An archive that no exchange fills is none: the keeper says so, and nobody can pause with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from worker.basics.address import Address
from worker.broker.archive.keeping import ArchiveKeeper
from worker.broker.declare import open_channel
from worker.broker.frames import declare_exchange
from worker.broker.topology import archive_queue
from worker.domain.webhook import Endpoint, Webhook
from worker.process.replays import Replays
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


async def test_without_an_exchange_nothing_is_archived_and_nothing_is_paused(
    broker: LocalBroker, amqp: Amqp, names: Names, tmp_path: Path
) -> None:
    given = {
        "DATABASE_CONNECTION_URI": f"sqlite:///{tmp_path}/webhooks.db",
        "HISTORY_DATABASE_URI": f"sqlite:///{tmp_path}/history.db",
        "RABBITMQ_URI": broker.uri,
        "RABBITMQ_EXCHANGE_NAME": names.exchange,
        "WORKER_QUEUE_PREFIX": names.prefix,
    }
    settings, _ = load(given, None)
    store = SqlStore(given["DATABASE_CONNECTION_URI"], lambda: 0)
    await store.migrate()
    await store.put(ACME)

    async def changed(instance: str, revision: int) -> None:
        assert (instance, revision > 0) == ("acme", True)

    replays = Replays(settings, store, changed)
    assert await kept(settings.rabbitmq_uri, names) is False
    with pytest.raises(CannotReplay, match=rf"no event reaches {names.prefix}\.archive.*no exchange {names.exchange}"):
        await replays.pause(Endpoint("acme", "default"))
    assert await store.load("acme") == (ACME,)
    await declare_exchange(await open_channel(amqp.connection), names.exchange)
    assert (await replays.pause(Endpoint("acme", "default"))).webhook.paused_at is not None
    assert await kept(settings.rabbitmq_uri, names) is True
    await replays.close()
    await store.close()

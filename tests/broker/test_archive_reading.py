"""The archive is read the same whether its messages are cut out of the connection's bytes or aiormq reads them."""

from __future__ import annotations

from typing import Any

import pytest
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from tests.broker.test_archive_binding import kept
from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.waiting import until
from worker.broker import frames
from worker.broker.address import broker_address
from worker.broker.aiormq_internals import cutter_of
from worker.broker.archive import reading
from worker.broker.archive.marks import BIRTH
from worker.broker.archive.reading import Archive, Seen
from worker.broker.connection import connected
from worker.broker.declare import open_channel
from worker.broker.frames import declare_exchange
from worker.replay.archive import Archived

COUNT = 3 * reading.PREFETCH + 7
LARGE = b"x" * 300_000
"""More than a frame holds."""

TRACED: dict[str, Any] = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "x-foreign": [1, {}],
}
STRANGE: dict[str, Any] = {"x-stream-offset": "none of the broker's", "x-archive-mark": 7}


@pytest.fixture
async def filled(broker: LocalBroker, amqp: Amqp, names: Names) -> list[bytes]:
    """The bodies of an archive, in order: plain events of Evolution and what others publish."""
    await declare_exchange(await open_channel(amqp.connection), names.exchange)
    assert await kept(broker_address(broker.uri), names) is True
    bodies = [b'{"event":"messages.upsert","number":%d}' % number for number in range(COUNT)]
    for body in bodies:
        await amqp.publish_event(names.exchange, "messages.upsert", body)
    for message_id, headers in (("traced", TRACED), ("strange", STRANGE)):
        await amqp.publish(names.exchange, "acme.messages.upsert", b"{}", message_id=message_id, headers=headers)
    await amqp.publish_event(names.exchange, "messages.upsert", LARGE)
    await amqp.publish_event(names.exchange, "messages.upsert", b"")
    return [*bodies, b"{}", b"{}", LARGE, b""]


async def read(connection: AbstractConnection, names: Names) -> list[Archived]:
    archive = Archive(connection, names.archive)
    return [each async for each in archive.events(await archive.first(), await archive.mark())]


async def head(connection: AbstractConnection, names: Names) -> list[Seen]:
    return (await Archive(connection, names.archive).look("first", 15))[:COUNT]


async def test_either_way_brings_the_same(broker: LocalBroker, amqp: Amqp, names: Names, filled: list[bytes]) -> None:
    async with connected(broker_address(broker.uri), "a reader") as connection:
        cut, begun = await read(connection, names), await head(connection, names)
    plain, begun_plain = await read(amqp.connection, names), await head(amqp.connection, names)
    assert [each.body for each in cut] == filled
    assert cut == plain
    assert [each.message_id for each in cut] == [*[None] * COUNT, "traced", "strange", None, None]
    assert {(each.exchange, each.routing_key) for each in cut[COUNT : COUNT + 2]} == {
        (names.exchange, "acme.messages.upsert")
    }
    common = min(len(begun), len(begun_plain))
    assert common
    assert begun[:common] == begun_plain[:common]
    assert [seen.mark.name for seen in begun if seen.mark is not None][:1] == [BIRTH]


async def test_nothing_of_it_goes_by_way_of_aiormqs_reader(
    broker: LocalBroker, names: Names, filled: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which would take all that has come in a row, while the deliveries of the process stand still."""
    read_by_aiormq = []

    def plain_way(_: object) -> Any:
        async def heard(delivered: object) -> None:
            read_by_aiormq.append(delivered)

        return heard

    monkeypatch.setattr(frames, "plain_way", plain_way)
    async with connected(broker_address(broker.uri), "a reader") as connection:
        assert [each.body for each in await read(connection, names)] == filled
    assert read_by_aiormq == []


async def test_what_was_read_is_let_go_of_with_its_channel(
    broker: LocalBroker, names: Names, filled: list[bytes]
) -> None:
    """A replay reads many times on one connection; each time up to a hundred bodies came that nobody took."""
    async with connected(broker_address(broker.uri), "a reader") as connection:
        for _ in range(3):
            assert len(await read(connection, names)) == len(filled)
        with pytest.raises(ChannelNotFoundEntity):
            await Archive(connection, "no such queue").look("first", 15)
        cutter = cutter_of(await open_channel(connection))
        assert cutter is not None
        await until(lambda: not cutter._takers, "nobody to take what comes")

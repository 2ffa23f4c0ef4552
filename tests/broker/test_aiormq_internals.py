"""Each name that broker/aiormq_internals.py finds inside aiormq; one that has moved fails by its name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aio_pika
import aiormq
import pytest
from aiormq.abc import ChannelFrame, DeliveredMessage
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError, PublishError
from pamqp import frame
from pamqp.commands import Basic

from tests.support.amqp import Amqp, Names
from tests.support.internals import Internal, gone_from, problem_with
from tests.support.local_broker import LocalBroker
from tests.support.tls import Authority
from worker.broker.aiormq_internals import (
    channel_on,
    closing_of,
    connection_beneath,
    cutter_of,
    expect_confirm,
    forget_confirms,
    forget_return,
    is_registered,
    on_consumer_cancelled,
    publishes_taken,
    register_consumer,
    server_properties,
    write,
)
from worker.broker.connection import connect
from worker.broker.cutter import Cutter
from worker.broker.frames import consume, declare_queue
from worker.broker.publishing.content import body_frames, content_header

INTERNALS = (
    Internal(aiormq.Connection, "channel", ("publisher_confirms", "frame_buffer_size")),
    Internal(aiormq.Connection, "ready"),
    Internal(aiormq.Connection, "closing"),
    Internal(Channel, "__init__", ("connector", "number", "publisher_confirms", "frame_buffer", "on_return_raises")),
    Internal(Channel, "closing"),
    Internal(Channel, "is_closed"),
    Internal(Channel, "rpc", ("frame",)),
    Internal(Channel, "basic_cancel", ("consumer_tag",)),
    Internal(Channel, "basic_nack", ("delivery_tag", "requeue", "wait")),
    Internal(Channel, "basic_qos", ("prefetch_count",)),
    Internal(ChannelFrame, "__init__", ("payload", "should_close")),
    Internal(aiormq.exceptions, "InvalidFrameError"),
    Internal(aiormq.exceptions, "ChannelInvalidStateError"),
    Internal(aiormq.Connection, "__init__", ("url", "transport_factory")),
    Internal(aiormq.connection.TransportFactory, "create", ("url",)),
)

OF_A_CHANNEL = (
    "confirmations",
    "consumers",
    "delivery_tag",
    "max_content_size",
    "message_id_delivery_tag",
    "number",
    "on_consumer_cancel_callbacks",
    "write_queue",
)


@pytest.mark.parametrize("internal", INTERNALS, ids=str)
def test_a_name_inside_aiormq_is_where_we_look_for_it(internal: Internal) -> None:
    assert problem_with(internal) is None


async def test_a_channel_keeps_its_state_where_we_reach_for_it(broker: LocalBroker) -> None:
    connection = await aio_pika.connect(broker.uri)
    try:
        beneath = connection_beneath(connection)
        assert beneath is not None
        assert server_properties(connection)["product"] == "RabbitMQ"
        channel = await channel_on(beneath, confirms=True)
        assert gone_from(channel, OF_A_CHANNEL) == []
        assert (channel.confirmations, channel.delivery_tag, channel.message_id_delivery_tag) == ({}, 0, {})
        async with asyncio.timeout(5):
            await publishes_taken(beneath)()
        assert closing_of(channel) is not closing_of(channel), "cancelling one would cancel what others wait for"
    finally:
        await connection.close()
    assert connection_beneath(connection) is None
    assert server_properties(connection) == {}


async def test_a_connection_that_cuts_has_its_own_cutter_and_another_has_none(broker: LocalBroker) -> None:
    cutting, again, plain = [await connect(broker.uri, "test", cuts=cuts) for cuts in (True, True, False)]
    try:
        cutters = []
        for connection in (cutting, again, plain):
            beneath = connection_beneath(connection)
            assert beneath is not None
            cutters.append(cutter_of(await channel_on(beneath, confirms=False)))
        assert isinstance(cutters[0], Cutter)
        assert isinstance(cutters[1], Cutter)
        assert cutters[0] is not cutters[1]
        assert cutters[2] is None
    finally:
        for connection in (cutting, again, plain):
            await connection.close()


@asynccontextmanager
async def _behind_tls(broker: LocalBroker, authority: Authority) -> AsyncIterator[int]:
    """The port of a server that passes what it gets by TLS on to the broker."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", broker.port)
        with suppress(OSError, TimeoutError):
            await asyncio.gather(_pass_on(reader, to_writer), _pass_on(to_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=authority.server())
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_deliveries_are_cut_out_of_a_tls_connection_too(
    broker: LocalBroker, amqp: Amqp, names: Names, tmp_path: Path
) -> None:
    authority = Authority()
    authority.write_certificate(tmp_path / "ca.pem")
    await amqp.declare_queue(names.events)
    await amqp.publish("", names.events, b"x" * 100_000, message_id="1")
    async with _behind_tls(broker, authority) as port:
        place = f"amqps://guest:guest@127.0.0.1:{port}/?cafile={tmp_path}/ca.pem"
        connection = await connect(place, "test", cuts=True)
        beneath = connection_beneath(connection)
        assert beneath is not None
        channel = await channel_on(beneath, confirms=False)
        came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        await consume(channel, names.events, _ignore, take=lambda body, *_: came.set_result(body))
        assert await asyncio.wait_for(came, 10) == b"x" * 100_000
        await connection.close()


async def test_a_consumer_is_registered_until_the_broker_cancels_it(
    broker: LocalBroker, amqp: Amqp, names: Names
) -> None:
    connection = await aio_pika.connect(broker.uri)
    try:
        beneath = connection_beneath(connection)
        assert beneath is not None
        channel = await channel_on(beneath, confirms=False)
        await declare_queue(channel, names.events, {"x-queue-type": "quorum"})
        cancelled = asyncio.Event()
        on_consumer_cancelled(channel, cancelled.set)
        tag = await consume(channel, names.events, _ignore)
        assert is_registered(channel, tag)
        await amqp.delete(names)
        async with asyncio.timeout(10):
            await cancelled.wait()
        assert not is_registered(channel, tag)
        register_consumer(channel, tag, _ignore)
        assert is_registered(channel, tag)
    finally:
        await connection.close()


async def _ignore(_: DeliveredMessage) -> None: ...


async def test_a_confirm_and_a_return_end_the_future_that_expects_them(broker: LocalBroker) -> None:
    connection = await aio_pika.connect(broker.uri)
    try:
        beneath = connection_beneath(connection)
        assert beneath is not None
        channel = await channel_on(beneath, confirms=True)
        returned: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        expect_confirm(channel, returned, "1")
        assert dict(channel.confirmations) == {1: returned}
        method = frame.marshal(
            Basic.Publish(exchange="", routing_key="nobody-declared-this", mandatory=True), channel.number
        )
        content = (content_header(channel.number, 2, {}, "1"), *body_frames(channel.number, b"{}", 1024))
        await write(channel, b"".join((method, *content)))
        with pytest.raises(PublishError):
            await asyncio.wait_for(returned, 10)
        assert issubclass(PublishError, DeliveryError)
        forget_return(channel, "1")
        assert not channel.message_id_delivery_tag
        expect_confirm(channel, asyncio.get_running_loop().create_future(), "2")
        forget_confirms(channel)
        assert not channel.confirmations
    finally:
        await connection.close()

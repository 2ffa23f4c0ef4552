"""The parts that the other tests stand on, tried for real: broker, queues, receivers, captures."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import aio_pika
import aiohttp
import pytest

from tests.support import captures
from tests.support.amqp import Amqp, Names
from tests.support.local_broker import BrokerError, LocalBroker, speaks_amqp
from tests.support.local_process import FIRST_PORT, PORTS, free_port
from tests.support.receiver import Answer, HostileReceiver, Received, Receiver, read_request
from tests.support.tls import Authority
from tests.support.waiting import eventually
from tests.support.worker import ROOT

# Ports


def test_a_port_is_given_once_even_while_nobody_has_taken_it() -> None:
    ports = [free_port() for _ in range(100)]
    assert len(set(ports)) == len(ports)
    assert all(FIRST_PORT <= port < FIRST_PORT + PORTS for port in ports)


def test_a_port_that_somebody_listens_on_is_passed_over() -> None:
    with socket.socket() as taken:
        before = free_port()
        taken.bind(("127.0.0.1", FIRST_PORT + (before + 1 - FIRST_PORT) % PORTS))
        assert free_port() != taken.getsockname()[1]


# The broker


async def test_an_event_is_published_as_evolution_does_without_any_property_but_delivery_mode(
    amqp: Amqp, names: Names
) -> None:
    await amqp.declare_exchange(names.exchange)
    await amqp.declare_queue(names.events, bind=(names.exchange, "#"))
    await amqp.publish_event(names.exchange, "messages.upsert", {"event": "messages.upsert", "data": None})
    await amqp.wait_depth(names.events, 1)
    (message,) = await amqp.drain(names.events)
    assert message.body == b'{"event":"messages.upsert","data":null}'
    assert message.routing_key == "messages.upsert"
    assert (message.message_id, message.content_type, message.timestamp) == (None, None, None)
    assert set(message.headers) <= {"x-delivery-count"}  # the quorum queue's own
    assert message.delivery_mode == 1
    await amqp.wait_depth(names.events, 0)


async def test_publish_carries_the_properties_that_a_test_gives(amqp: Amqp, names: Names) -> None:
    await amqp.declare_queue(names.events)
    await amqp.publish("", names.events, b"x", message_id="m1", headers={"a": 1})
    (message,) = await amqp.drain(names.events)
    assert (message.message_id, message.headers["a"], message.delivery_mode) == ("m1", 1, 2)


async def test_an_unroutable_publish_raises(amqp: Amqp, names: Names) -> None:
    with pytest.raises(aio_pika.exceptions.DeliveryError):
        await amqp.publish("", names.events, b"x", message_id="m1")


async def test_names_are_gone_after_a_test(amqp: Amqp, names: Names) -> None:
    await amqp.declare_exchange(names.exchange)
    for queue in (names.events, names.dead, names.retry(5)):
        await amqp.declare_queue(queue)
    await amqp.delete(names)
    assert [await amqp.depth(queue) for queue in (names.events, names.dead, names.retry(5))] == [None] * 3


async def test_a_broker_survives_a_kill_with_its_data_and_leaves_nothing_behind() -> None:
    broker = LocalBroker()
    await asyncio.to_thread(broker.start)
    try:
        await _one_message_survives(broker, broker.kill)
        assert "webhooks-" in broker.ctl("cluster_status")
        with pytest.raises(BrokerError, match="no-such-command"):
            broker.ctl("no-such-command")
        process, folder = Path(f"/proc/{broker.pid}"), broker.folder
        assert process.exists()
    finally:
        broker.close()
    assert not speaks_amqp(broker.port)
    assert not folder.exists()
    assert not process.exists()


async def _one_message_survives(broker: LocalBroker, end: Callable[[], None]) -> None:
    async with await Amqp.connect(broker.uri) as amqp:
        await amqp.declare_queue("kept")
        await amqp.publish("", "kept", b"here", message_id="m")
        await asyncio.to_thread(broker.wait_durable, "kept")
    await asyncio.to_thread(end)
    assert not speaks_amqp(broker.port)
    await asyncio.to_thread(broker.start)
    async with await Amqp.connect(broker.uri) as amqp:
        await amqp.wait_depth("kept", 1)
        assert [message.body for message in await amqp.drain("kept")] == [b"here"]


async def test_the_memory_alarm_blocks_publishers_until_it_ends(broker: LocalBroker, names: Names) -> None:
    async with await Amqp.connect(broker.uri) as amqp:
        await amqp.declare_queue(names.events)
        await asyncio.to_thread(broker.memory_alarm, True)
        publish = asyncio.ensure_future(amqp.publish("", names.events, b"x", message_id="m"))
        done, _ = await asyncio.wait([publish], timeout=0.5)
        assert not done
        await asyncio.to_thread(broker.memory_alarm, False)
        await asyncio.wait_for(publish, 15)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_the_runner_prints_its_uri_and_clears_up_however_it_ends(number: signal.Signals) -> None:
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.local_broker", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert runner.stdout is not None
    uri = (await runner.stdout.readline()).decode().strip()
    port = int(uri.rsplit(":", 1)[1].strip("/"))
    assert speaks_amqp(port)
    runner.send_signal(number)
    code = await runner.wait()
    assert code == (0 if number != signal.SIGKILL else -signal.SIGKILL)

    async def listening() -> bool:
        return speaks_amqp(port)

    await eventually(listening, lambda up: not up, 10, "the broker to be gone")


# Receivers


async def test_a_receiver_records_what_came_and_answers_as_scripted(receiver: Receiver) -> None:
    receiver.answer("/hook", 500, Answer(429, {"Retry-After": "7"}), _echo_status)
    receiver.always("/gone", 410)
    async with aiohttp.ClientSession() as client:
        answers = [await _post(client, receiver.url("/hook?a=%20b"), b'{"n":1}') for _ in range(4)]
        answers.append(await _post(client, receiver.url("/gone"), b""))
    assert answers == [500, 429, 418, 200, 410]
    first = (await receiver.wait_for(4, path="/hook"))[0]
    assert (first.method, first.path, first.query, first.json()) == ("POST", "/hook", "a=%20b", {"n": 1})
    assert first.header("x-test") == "Yes"
    assert ("X-Test", "Yes") in first.headers
    times = [request.at for request in receiver.requests]
    assert times == sorted(times)


async def _echo_status(received: Received) -> int:
    return 418 if received.body else 400


async def _post(client: aiohttp.ClientSession, url: str, body: bytes | BytesIO) -> int:
    from yarl import URL

    async with client.post(URL(url, encoded=True), data=body, headers={"X-Test": "Yes"}) as answer:
        return answer.status


async def test_waiting_wakes_when_the_request_comes_and_fails_with_what_was_received(
    receiver: Receiver,
) -> None:
    async with aiohttp.ClientSession() as client:
        waiting = asyncio.ensure_future(receiver.wait_for(lambda all_: any(r.body == b"2" for r in all_)))
        await _post(client, receiver.url("/1"), b"1")
        await _post(client, receiver.url("/2"), b"2")
        assert [request.path for request in await waiting] == ["/1", "/2"]
    with pytest.raises(AssertionError, match="/2"):
        await receiver.wait_for(3, timeout=0.05)


async def test_a_receiver_holds_an_answer_until_released_and_takes_20_mb(receiver: Receiver) -> None:
    release = asyncio.Event()
    receiver.answer("/slow", Answer(200, release=release))
    async with aiohttp.ClientSession() as client:
        posting = asyncio.ensure_future(_post(client, receiver.url("/slow"), BytesIO(b"x" * 20_000_000)))
        (request,) = await receiver.wait_for(1)
        assert len(request.body) == 20_000_000
        assert not posting.done()
        release.set()
        assert await posting == 200


async def test_a_receiver_comes_back_on_its_port() -> None:
    receiver = Receiver()
    async with receiver, aiohttp.ClientSession() as client:
        port = receiver.port
        await receiver.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await _post(client, receiver.url("/"), b"")
        await receiver.start()
        assert receiver.port == port
        assert await _post(client, receiver.url("/"), b"") == 200


async def test_a_hostile_receiver_says_what_the_test_wants() -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await read_request(reader)).endswith(b"\r\n\r\nbody")
        writer.write(b"HTTP/1.1 999999 no\r\n\r\n")
        await writer.drain()

    async with HostileReceiver(garbage) as hostile, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientError):
            await _post(client, hostile.url("/x"), b"body")
        await hostile.wait_for_connections(1)


async def test_a_hostile_receiver_that_never_answers_ends_with_the_test() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with HostileReceiver(silence) as hostile, aiohttp.ClientSession() as client:
        posting = asyncio.ensure_future(_post(client, hostile.url("/x"), b"body"))
        await hostile.wait_for_connections(1)
    with pytest.raises(aiohttp.ClientError):
        await posting


async def test_tls_good_wrong_name_and_expired(tmp_path: Path) -> None:
    authority = Authority()
    trusting = ssl.create_default_context(cafile=str(authority.write_certificate(tmp_path / "ca.pem")))
    assert await _tls_post(authority.server(), trusting) == 200
    assert await _tls_post(authority.server(), authority.client()) == 200
    for context in (authority.wrong_name(), authority.expired()):
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await _tls_post(context, trusting)


async def _tls_post(server: ssl.SSLContext, client_side: ssl.SSLContext) -> int:
    connector = aiohttp.TCPConnector(ssl=client_side)
    async with Receiver(tls=server) as receiver, aiohttp.ClientSession(connector=connector) as client:
        return await _post(client, receiver.url("/"), b"")


# Captures


def test_captures_are_read_with_their_posts() -> None:
    one, two = captures.load(captures.EVOLUTION_1), captures.load(captures.EVOLUTION_2)
    assert (len(one), len(two)) == (15, 7)
    post = one[1].posts[0]
    assert (post.webhook, post.path) == ("instance", "/hook/contacts-upsert")
    assert "Zé da Silva 😀".encode() in one[1].body
    assert any(post.bearer_jwt and post.headers == {"X-Tenant": "acme"} for row in two for post in row.posts)
    assert {row.exchange for row in one + two} == {"evolution_exchange"}


async def test_what_is_ready_is_taken_from_a_queue_with_a_single_active_consumer_too(amqp: Amqp, names: Names) -> None:
    await amqp.declare_queue(names.ordered, arguments={"x-single-active-consumer": True})
    assert await amqp.consume_ready(names.ordered) == []
    for body in (b"", b"1", b"2"):
        await amqp.publish("", names.ordered, body)
    assert await amqp.consume_ready(names.ordered) == [b"", b"1", b"2"]
    assert await amqp.depth(names.ordered) == 0

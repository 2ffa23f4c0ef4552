"""The sender's connections and requests, on real sockets: reuse, stale ones, cancellation, bytes on the wire."""

import asyncio
import base64
import gc
from urllib.parse import quote

import pytest

from tests.http.sender_support import HEADERS, UNUSABLE, End, Pool, finish, replying, ticker
from tests.support.receiver import Answer, HostileReceiver, Receiver, read_request
from tests.support.waiting import until
from worker.domain.verdict import Answered, Failure, Unanswered

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_posts_one_after_another_share_a_connection(either: Pool) -> None:
    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            writer.write(OK)

    async with HostileReceiver(answering) as receiver:
        for _ in range(20):
            assert await either.post(receiver.url()) == Answered(200)
        assert receiver.connections == 1
        assert either.kept == 1


async def test_an_answer_with_a_body_leaves_its_connection_for_the_next(either: Pool, receiver: Receiver) -> None:
    receiver.always("/x", Answer(500, body=b"a" * 60_000))
    assert [await either.post(receiver.url("/x")) for _ in range(3)] == [Answered(500)] * 3
    assert either.kept == 1


class Idle:
    """Answers the first `good` requests of all connections; from then on kept ones are closed at a request."""

    def __init__(self, end: End, answer_before_closing: bool = False) -> None:
        self.requests: list[int] = []
        """The number of the connection that each request came on."""
        self.connections = 0
        self.stale = asyncio.Event()
        self._end = end

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number, first = self.connections, True
        while await read_request(reader):
            self.requests.append(number)
            if not first and self.stale.is_set():
                await finish(self._end, reader, writer)
                return
            first = False
            writer.write(OK)


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_kept_connection_closed_at_the_worst_moment_costs_one_retry_on_a_new_one(
    either: Pool, end: End
) -> None:
    idle = Idle(end)
    async with HostileReceiver(idle) as receiver:
        await asyncio.gather(*(either.post(receiver.url()) for _ in range(5)))
        assert either.kept == 5
        idle.stale.set()
        assert await either.post(receiver.url()) == Answered(200)
        assert idle.connections == 6
        assert len(idle.requests) == 5 + 2
        assert idle.requests[-1] == 6
        assert idle.requests[-2] != 6


async def test_the_connections_of_a_burst_are_left_to_expire(either: Pool) -> None:
    idle = Idle(End.CLOSE)
    async with HostileReceiver(idle) as receiver:
        await asyncio.gather(*(either.post(receiver.url()) for _ in range(5)))
        for _ in range(10):
            await either.post(receiver.url())
        assert either.kept == 5
        assert len(set(idle.requests[5:])) == 1


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_that_retry_is_the_only_one(either: Pool, end: End) -> None:
    requests = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while await read_request(reader):
            requests += 1
            if requests > 1:
                await finish(end, reader, writer)
                return
            writer.write(OK)

    async with HostileReceiver(once) as receiver:
        assert await either.post(receiver.url()) == Answered(200)
        result = await either.post(receiver.url())
        assert result == Unanswered(Failure.CONNECT, "127.0.0.1 closed the connection before it answered")
        assert (requests, receiver.connections) == (3, 2)


async def test_a_stale_connection_to_a_receiver_that_restarts_is_made_anew(either: Pool) -> None:
    gone = asyncio.Event()

    async def last(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)
        receiver._server.close()  # type: ignore[union-attr]
        gone.set()

    async with HostileReceiver(last) as receiver:
        assert await either.post(receiver.url()) == Answered(200)
        sending = asyncio.create_task(either.post(receiver.url()))
        await gone.wait()
        async with Receiver(port=receiver.port) as again:
            assert await sending == Answered(200)
            assert len(again.requests) == 1


@pytest.mark.parametrize("unasked", [OK, b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"])
async def test_an_answer_on_an_idle_connection_is_not_taken_for_the_next_posts(either: Pool, unasked: bytes) -> None:
    idle, connections = asyncio.Event(), 0

    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(OK if connections == 1 else OK.replace(b"200 OK", b"503 No"))
        if connections == 1:
            await idle.wait()
            writer.write(unasked)
        await reader.read()

    async with HostileReceiver(chatty) as receiver:
        assert await either.post(receiver.url()) == Answered(200)
        protocol = next(iter(either._connector._conns.values()))[0][0]
        idle.set()
        await until(lambda: protocol.should_close, "the unasked answer has arrived")
        assert await either.post(receiver.url()) == Answered(503)
        assert connections == 2


async def test_a_cancelled_post_closes_its_connection_and_leaks_nothing(sender: Pool) -> None:
    for body in (b"{}", b"a" * 20_000_000):
        async with replying(b"") as (receiver, _):
            sending = asyncio.create_task(sender.post(receiver.url(), body))
            await receiver.wait_for_connections(1)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await sender.none_in_use()
            assert sender.kept == 0


async def test_a_post_cancelled_while_it_drains_has_its_answer_and_closes_its_connection(sender: Pool) -> None:
    async with replying(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf") as (receiver, replies):
        sending = asyncio.create_task(sender.post(receiver.url()))
        await until(lambda: sender.answer_begun, "the head has arrived")
        sending.cancel()
        assert await sending == Answered(200)
        await replies.closed.wait()
        assert sender.in_use == sender.kept == 0
    gc.collect()


async def test_many_posts_at_once_leak_nothing(sender: Pool, receiver: Receiver, closed_port: int) -> None:
    urls = [receiver.url("/x"), f"http://127.0.0.1:{closed_port}/closed", "http://[::1/x"] * 20
    # The closed port is tried for as long as its timeout lets it.
    results = await asyncio.gather(*(sender.post(url, timeout=0.5 if "closed" in url else 10) for url in urls))
    assert results.count(Answered(200)) == 20
    assert results.count(UNUSABLE) == 20
    assert sender.in_use == 0


async def test_the_request_on_the_wire_is_what_was_asked_for_and_no_more(sender: Pool) -> None:
    headers = {"X-TeNaNt": "açaí", "content-type": "application/json", "user-agent": "test", "Accept": "text/x"}
    async with replying(OK) as (receiver, replies):
        await sender.post(receiver.url("/hook/é x?a=1&b=%2F"), b'{"a":1}', headers=headers)
        lines = replies.requests[0].decode().split("\r\n")
    assert lines == [
        "POST /hook/%C3%A9%20x?a=1&b=%2F HTTP/1.1",
        f"Host: 127.0.0.1:{receiver.port}",
        "X-TeNaNt: açaí",
        "content-type: application/json",
        "user-agent: test",
        "Accept: text/x",
        "Content-Length: 7",
        "",
        '{"a":1}',
    ]


async def test_a_url_in_its_sendable_form_is_sent_as_it_is(sender: Pool) -> None:
    target = "/%7Ehook/a%2Fb;v=(1)?sig=%2Fa%2b+b%20&empty&x[]=1"
    async with replying(OK) as (receiver, replies):
        await sender.post(receiver.url(target + "#fragment"))
        assert replies.requests[0].startswith(b"POST " + target.encode() + b" HTTP/1.1\r\n")


@pytest.mark.parametrize("name", ["Host", "host", "HOST", "hOsT"])
async def test_a_webhook_may_name_the_host_itself(sender: Pool, receiver: Receiver, name: str) -> None:
    await sender.post(receiver.url("/x"), headers={**HEADERS, name: "virtual.example"})
    (request,) = receiver.requests
    assert [value for key, value in request.headers if key.lower() == "host"] == ["virtual.example"]


@pytest.mark.parametrize(
    ("credentials", "pair"),
    [
        ("user:pass@", "user:pass"),
        ("user@", "user:"),
        (":pass@", ":pass"),
        (f"{quote('ü@')}:{quote('p:@ss/ w', safe='')}@", "ü@:p:@ss/ w"),
    ],
)
async def test_credentials_in_the_url_become_basic_authorization(
    sender: Pool, receiver: Receiver, credentials: str, pair: str
) -> None:
    url = receiver.url("/x").replace("http://", f"http://{credentials}")
    assert await sender.post(url) == Answered(200)
    assert await sender.post(url, headers={**HEADERS, "authorization": "Bearer mine"}) == Answered(200)
    first, second = (
        [value for key, value in request.headers if key.lower() == "authorization"] for request in receiver.requests
    )
    assert base64.b64decode(first[0].removeprefix("Basic ")).decode() == pair
    assert second == ["Bearer mine"]


@pytest.mark.parametrize("size", [0, 1, 131_072, 131_073, 1_048_577, 20_000_000])
async def test_a_body_arrives_byte_for_byte_with_its_length(sender: Pool, size: int) -> None:
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    async with replying(OK) as (receiver, replies):
        assert await sender.post(receiver.url(), body) == Answered(200)
        head, _, received = replies.requests[0].partition(b"\r\n\r\n")
    assert f"content-length: {size}".encode() in head.lower().split(b"\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert received == body


async def test_a_body_of_20_mb_leaves_the_loop_to_others(sender: Pool) -> None:
    async def sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        left = 20_000_000
        while left:
            left -= len(await reader.read(2**16))
        writer.write(OK)

    async with HostileReceiver(sink) as receiver, ticker(0.001) as lag:
        assert await sender.post(receiver.url(), b"a" * 20_000_000) == Answered(200)
    print(f"longest lag {max(lag) * 1000:.1f} ms")
    assert max(lag) < 0.2


@pytest.mark.parametrize("pushed", [1, 2000])
async def test_a_failed_answer_is_kept_by_its_beginning(sender: Pool, receiver: Receiver, pushed: int) -> None:
    body = ("não " * pushed).encode()
    receiver.always("/bad", Answer(422, headers={"content-type": "text/plain; charset=utf-8"}, body=body))
    receiver.always("/good", Answer(200, body=body))
    failed, succeeded = await sender.post(receiver.url("/bad")), await sender.post(receiver.url("/good"))
    assert isinstance(failed, Answered)
    assert isinstance(succeeded, Answered)
    assert failed.text == body[:2048].decode(errors="replace")
    assert failed.content_type == "text/plain; charset=utf-8"
    assert (succeeded.text, succeeded.content_type) == ("", "")
    assert sender.kept == 1

"""Receivers that misbehave, on real sockets: the result is right, the attempt bounded, nothing leaks."""

import asyncio
import gzip
import socket
import time
from contextlib import suppress

import pytest

from tests.http.sender_support import PATIENCE, End, Pool, Replies, connected_to, pool, replying, reset, ticker
from tests.support.hostile import ANSWERS, BROKEN_HEADERS, CHUNKED, CUT_BODIES, HEAD, INTERIM, OK
from tests.support.receiver import HostileReceiver, Receiver, read_request
from tests.support.tls import Authority
from tests.support.waiting import until
from worker.domain.verdict import Answered, Failure, Unanswered
from worker.http.exchange import DRAIN_BYTES, PIECE_BYTES

CUT = Unanswered(Failure.CONNECT, "127.0.0.1 closed the connection before it answered")
NOT_HTTP = Unanswered(Failure.CONNECT, "127.0.0.1 answered with what is not HTTP, or with too many headers")


both_ways = pytest.mark.parametrize("senders", ["sender", "warm"], indirect=True, ids=["first POST", "kept connection"])


@pytest.fixture
def senders(request: pytest.FixtureRequest) -> Pool:
    """A sender that makes a connection, in a task; and one that finds a kept one, without."""
    found: Pool = request.getfixturevalue(request.param)
    return found


def late(seconds: str) -> Unanswered:
    return Unanswered(Failure.TIMEOUT, f"no answer within {seconds} s")


@pytest.mark.parametrize("raw", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("end", End)
@both_ways
async def test_a_status_line_counts_whatever_follows_the_headers(senders: Pool, raw: bytes, end: End) -> None:
    async with replying(raw, end) as (receiver, replies):
        result = await senders.post(receiver.url())
        await senders.none_in_use()
        assert result == Answered(204 if b" 204 " in raw else 200)
        assert len(replies.requests) == receiver.connections == 1


@pytest.mark.parametrize("raw", CUT_BODIES.values(), ids=CUT_BODIES.keys())
@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
@both_ways
async def test_an_answer_cut_within_its_body_counts(senders: Pool, raw: bytes, end: End) -> None:
    async with replying(raw, end) as (receiver, replies):
        assert await senders.post(receiver.url()) == Answered(200)
        assert len(replies.requests) == 1
        assert senders.kept == 0


@pytest.mark.parametrize("raw", CUT_BODIES.values(), ids=CUT_BODIES.keys())
async def test_a_body_that_stops_is_left_after_a_second(sender: Pool, raw: bytes) -> None:
    async with replying(raw) as (receiver, replies):
        started = time.monotonic()
        assert await sender.post(receiver.url()) == Answered(200)
        await replies.closed.wait()
        assert 0.9 < time.monotonic() - started < PATIENCE / 2
        assert sender.kept == 0


@pytest.mark.parametrize("raw", BROKEN_HEADERS.values(), ids=BROKEN_HEADERS.keys())
@pytest.mark.parametrize(
    "before", [b"", INTERIM, INTERIM * 3], ids=["at once", "after an interim answer", "after three"]
)
@both_ways
async def test_a_2xx_counts_whatever_its_headers_are(senders: Pool, before: bytes, raw: bytes) -> None:
    async with replying(before + b"HTTP/1.1 202 Accepted\r\n" + raw) as (receiver, replies):
        assert await senders.post(receiver.url()) == Answered(202)
        assert len(replies.requests) == receiver.connections == 1
        assert senders.kept == 0


@pytest.mark.parametrize("raw", BROKEN_HEADERS.values(), ids=BROKEN_HEADERS.keys())
@both_ways
async def test_another_status_with_broken_headers_is_no_answer(senders: Pool, raw: bytes) -> None:
    async with replying(b"HTTP/1.1 503 No\r\n" + raw) as (receiver, replies):
        assert await senders.post(receiver.url()) == NOT_HTTP
        assert len(replies.requests) == receiver.connections == 1
        assert senders.kept == 0


@pytest.mark.parametrize("pause", [0.0, 0.05], ids=["byte by byte", "with pauses"])
async def test_a_2xx_in_pieces_counts_from_its_status_line_on(sender: Pool, pause: float) -> None:
    pieces = [INTERIM[:20], INTERIM[20:] + b"HTTP/1.1 2", b"01 Created\r", b"\nx: a\r\n", b"broken\r\n\r\n"]

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for piece in pieces if pause else [bytes([byte]) for byte in b"".join(pieces)]:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        await reader.read()

    async with HostileReceiver(slow) as receiver:
        assert await sender.post(receiver.url()) == Answered(201)
        assert receiver.connections == 1


@both_ways
async def test_a_2xx_whose_headers_never_end_costs_the_deadline(senders: Pool) -> None:
    async with replying(HEAD + b"x: a\r\n") as (receiver, replies):
        assert await senders.post(receiver.url(), timeout=0.3) == late("0.3")
        await replies.closed.wait()
        assert senders.kept == 0


async def test_what_a_kept_connection_said_before_does_not_answer_the_next_post(sender: Pool) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(CHUNKED + b"1e\r\nHTTP/1.1 200 OK\r\nx: y\r\n\r\n--\r\n0\r\n\r\n")
        await read_request(reader)

    async with HostileReceiver(once) as receiver:
        assert await sender.post(receiver.url()) == Answered(200)
        assert await sender.post(receiver.url(), timeout=1) == Answered(200)
        assert receiver.connections == 2, "the kept one was cut without an answer, so a new one was made"


BROKEN_HEADS = {
    "HTTP/0.9": b"<html>hello</html>\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "zero bytes": b"\x00" * 100,
    "status that is none": b"HTTP/1.1 abc OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "1 MB without a line end": b"HTTP/1.1 200 " + b"a" * 1_000_000,
}


@pytest.mark.parametrize("raw", BROKEN_HEADS.values(), ids=BROKEN_HEADS.keys())
@both_ways
async def test_an_answer_without_a_proper_head_is_none(senders: Pool, raw: bytes) -> None:
    async with replying(raw) as (receiver, replies):
        assert await senders.post(receiver.url()) == NOT_HTTP
        assert len(replies.requests) == receiver.connections == 1
        assert senders.kept == 0


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 2", HEAD, HEAD + b"content-length: 2\r\n", INTERIM + HEAD + b"x"])
@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_cut_on_a_fresh_connection_is_not_posted_twice(sender: Pool, raw: bytes, end: End) -> None:
    async with replying(raw, end) as (receiver, replies):
        assert await sender.post(receiver.url()) == CUT
        assert len(replies.requests) == receiver.connections == 1


@both_ways
async def test_a_receiver_that_accepts_and_never_answers_costs_the_deadline(senders: Pool) -> None:
    async with replying(b"") as (receiver, replies):
        started = time.monotonic()
        assert await senders.post(receiver.url(), timeout=0.3) == late("0.3")
        await replies.closed.wait()
        assert 0.29 < time.monotonic() - started < PATIENCE / 2
        assert len(replies.requests) == 1


async def test_a_receiver_that_never_reads_costs_the_deadline(sender: Pool) -> None:
    async def sleepy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    async with HostileReceiver(sleepy) as receiver:
        assert await sender.post(receiver.url(), b"a" * 20_000_000, timeout=0.3) == late("0.3")
        await sender.none_in_use()
        await until(lambda: connected_to(receiver.port) == 0, "no socket of ours is left")


async def test_a_receiver_that_answers_and_never_reads_holds_no_socket(sender: Pool) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await asyncio.Event().wait()

    async with HostileReceiver(deaf) as receiver:
        assert await sender.post(receiver.url(), b"a" * 20_000_000) == Answered(413)
        await until(lambda: connected_to(receiver.port) == 0, "no socket of ours is left")


async def test_a_connection_with_bytes_that_its_receiver_has_not_read_is_not_used_again(sender: Pool) -> None:
    """They would pile up with each POST, and nobody would ever wait for them."""

    async def unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await asyncio.Event().wait()

    sender.shrink_buffers()
    async with HostileReceiver(unread) as receiver:
        receiver._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # type: ignore[union-attr]
        assert await sender.post(receiver.url(), b"a" * PIECE_BYTES) == Answered(200)
        assert sender.kept == 0
        await until(lambda: connected_to(receiver.port) == 0, "no socket of ours is left")


async def test_a_tls_handshake_that_is_never_answered_costs_the_deadline(sender: Pool) -> None:
    async with HostileReceiver(Replies(b"")) as receiver:
        url = receiver.url().replace("http", "https")
        assert await sender.post(url, timeout=0.3) == late("0.3")


async def dribble(raw: bytes, writer: asyncio.StreamWriter, every: float) -> None:
    for byte in raw:
        writer.write(bytes([byte]))
        await asyncio.sleep(every)


async def test_headers_one_byte_at_a_time_cost_the_deadline(sender: Pool) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await dribble(OK, writer, 0.05)

    async with HostileReceiver(slow) as receiver:
        assert await sender.post(receiver.url(), timeout=0.4) == late("0.4")


@pytest.mark.parametrize("timeout", [0.4, 10.0], ids=["the attempt's deadline ends it", "a second ends it"])
async def test_the_status_counts_when_the_body_comes_one_byte_at_a_time(sender: Pool, timeout: float) -> None:
    closed = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"content-length: 100000\r\n\r\n")
        task = asyncio.create_task(dribble(b"a" * 1000, writer, 0.05))
        try:
            await reader.read()
        finally:  # a client that leaves data unread resets the connection
            task.cancel()
            closed.set()

    async with HostileReceiver(slow) as receiver:
        started = time.monotonic()
        assert await sender.post(receiver.url(), timeout=timeout) == Answered(200)
        await closed.wait()
        assert min(timeout, 1.0) - 0.1 < time.monotonic() - started < PATIENCE / 2


@pytest.mark.parametrize("head", [HEAD + b"\r\n", HEAD + b"content-length: 99999999999\r\n\r\n", CHUNKED])
async def test_an_endless_body_is_left_after_64_kib(sender: Pool, head: bytes) -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(head)
        with suppress(ConnectionError):
            while True:
                writer.write(b"1000\r\n" + b"a" * 4096 + b"\r\n")
                await writer.drain()
                sent += 4096

    async with HostileReceiver(endless) as receiver:
        started = time.monotonic()
        assert await sender.post(receiver.url()) == Answered(200)
        assert time.monotonic() - started < PATIENCE / 2
        assert sender.kept == sender.in_use == 0
    assert sent < DRAIN_BYTES + 16 * 1024 * 1024  # what the kernel's buffers take


@both_ways
async def test_a_gzip_bomb_stays_packed(senders: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(bytes(20_000_000))
    head = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    monkeypatch.setattr("aiohttp.http_parser.DeflateBuffer.__init__", None)  # a use of it fails
    async with replying(head + packed) as (receiver, replies):
        assert await senders.post(receiver.url()) == Answered(200)
        assert b"accept-encoding" not in replies.requests[0].lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_never_followed(sender: Pool, status: int) -> None:
    async with Receiver() as target:
        elsewhere = {
            "http://169.254.169.254/latest/meta-data/?secret": "169.254.169.254",
            target.url("/elsewhere"): f"127.0.0.1:{target.port}",
            "https://u:hunter2@New.example/x?y": "new.example",
            "//[::1]:8443/x": "[::1]:8443",
            "http://a\u202eb.example/": "a\\u202eb.example",
            "//[": "",
            "/": "",
        }
        for location, host in elsewhere.items():
            head = f"HTTP/1.1 {status} Away\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
            async with replying(head.encode()) as (receiver, replies):
                found = await sender.post(receiver.url())
                assert found == Answered(status, moved_to=host)
                assert (f" a redirect to {host}: " in found.error) == bool(host)
                assert "secret" not in found.error
                assert "hunter2" not in found.error
                assert len(replies.requests) == 1
        for own in ("/y", "{}/y", "//{}/y"):
            async with replying(b"") as (receiver, replies):
                there = receiver.url() if own.startswith("{") else receiver.url().partition("//")[2]
                location = own.format(there.rstrip("/"))
                replies.raw = f"HTTP/1.1 {status} Away\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
                assert await sender.post(receiver.url()) == Answered(status)
        assert target.requests == []


@both_ways
async def test_an_upgrade_that_nobody_asked_for_is_an_answer(senders: Pool) -> None:
    raw = b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n" + b"x" * 1000
    async with replying(raw) as (receiver, _):
        assert await senders.post(receiver.url()) == Answered(101)
        assert senders.kept == 0


@pytest.mark.parametrize("raw", [b"HTTP/1.0 200 OK\r\n\r\nok", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"])
async def test_http_1_0_is_understood_and_not_kept(sender: Pool, raw: bytes) -> None:
    async with replying(raw, End.CLOSE) as (receiver, replies):
        assert await sender.post(receiver.url()) == Answered(200)
        assert await sender.post(receiver.url()) == Answered(200)
        assert receiver.connections == len(replies.requests) == 2


async def test_endless_interim_answers_cost_the_deadline_and_leave_the_loop_to_others(sender: Pool) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 40)
            await writer.drain()
            await asyncio.sleep(0.001)

    async with HostileReceiver(endless) as receiver, ticker() as lag:
        assert await sender.post(receiver.url(), timeout=0.4) == late("0.4")
    assert max(lag) < 0.3


async def test_a_flood_of_interim_answers_is_cut(sender: Pool) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000)
            await writer.drain()

    async with HostileReceiver(flood) as receiver, ticker() as lag:
        assert await sender.post(receiver.url()) == NOT_HTTP
    assert max(lag, default=0) < 0.5


@pytest.mark.parametrize("wrong", ["name", "expired", "self-signed"])
async def test_a_receiver_that_cannot_prove_itself_gets_nothing(wrong: str) -> None:
    authority, replies = Authority(), Replies(OK)
    tls = {"name": authority.wrong_name, "expired": authority.expired, "self-signed": Authority().server}[wrong]()
    async with HostileReceiver(replies, tls=tls) as receiver, pool(trusted=authority.client()) as sender:
        url = receiver.url("/secret?key=hunter2").replace("http://", "https://")
        result = await sender.post(url)
        assert isinstance(result, Unanswered)
        assert result.failure is Failure.TLS
        assert result.error.startswith("TLS with 127.0.0.1 failed: ")
        assert "secret" not in result.error
        assert "hunter2" not in result.error
        assert replies.requests == []


async def test_https_to_a_receiver_without_tls_is_a_tls_failure(sender: Pool) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    async with HostileReceiver(plain) as receiver:
        result = await sender.post(f"https://127.0.0.1:{receiver.port}/")
        assert isinstance(result, Unanswered)
        assert result.failure is Failure.TLS


async def test_a_receiver_that_proves_itself_is_kept() -> None:
    authority = Authority()
    async with Receiver(tls=authority.server()) as receiver, pool(trusted=authority.client()) as sender:
        assert await sender.post(receiver.url("/x")) == Answered(200)
        assert await sender.post(receiver.url("/x")) == Answered(200)
        assert sender.kept == 1


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
async def test_a_tls_handshake_that_is_cut_is_a_connect_failure(sender: Pool, end: End) -> None:
    async def cutting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if end is End.RESET:
            reset(writer)

    async with HostileReceiver(cutting) as receiver:
        url = receiver.url().replace("http://", "https://")
        result = await sender.post(url)
        assert isinstance(result, Unanswered)
        assert result.failure is Failure.CONNECT


@pytest.mark.parametrize("end", End)
async def test_an_answer_before_the_body_was_read_counts(sender: Pool, end: End) -> None:
    closed = asyncio.Event()

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        if end is End.WAIT:
            writer.transport.resume_reading()
            with suppress(ConnectionError):
                while await reader.read(2**20):
                    pass
        closed.set()

    async with HostileReceiver(refusing) as receiver:
        assert await sender.post(receiver.url(), b"a" * 20_000_000) == Answered(413)
        await closed.wait()
        await sender.none_in_use()
        assert sender.kept == 0
        assert receiver.connections == 1

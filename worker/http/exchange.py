"""One POST on one connection, and the head of its answer.

aiohttp keeps the connections, makes them and parses the answers; the request is written here. A ClientSession costs
60 us more a POST (85 instead of 25), for what no delivery needs: cookies, redirects, proxies, middlewares.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from itertools import product

import aiohttp

from worker.domain.history import KEPT_ANSWER_BYTES
from worker.domain.request.build import Request
from worker.domain.request.header_text import HeaderText, lines_of
from worker.http.aiohttp_internals import (
    Connection,
    HttpProcessingError,
    Protocol,
    RawResponseMessage,
    StreamReader,
    protocol_of,
)
from worker.http.connections import abort, reusable

LONGEST_HEADER_BYTES = 16 * 1024
PIECE_BYTES = 128 * 1024
DRAIN_BYTES = 64 * 1024
DRAIN_SECONDS = 1.0


class Answer:
    """An answer whose head has arrived; to be drained."""

    __slots__ = ("_body", "_connection", "message")

    def __init__(self, connection: Connection, message: RawResponseMessage, body: StreamReader) -> None:
        self.message = message
        self._connection = connection
        self._body = body

    async def drain(self, deadline: float, begun: bytearray | None = None) -> None:
        """Read the body within bounds, so that its connection can be used again; else close it.

        `begun` gets the body's first KEPT_ANSWER_BYTES, as far as they are read in that.
        `deadline`: the attempt's, on the event loop's clock. Cancelled, it returns: the status has arrived, and only
        that counts, at the drain deadline too.
        """
        if not self._body.is_eof():
            with suppress(TimeoutError, asyncio.CancelledError, aiohttp.ClientError, HttpProcessingError, OSError):
                await self._read(deadline, begun)
        elif begun is not None:
            with suppress(aiohttp.ClientError, HttpProcessingError, OSError):
                begun += self._body.read_nowait(KEPT_ANSWER_BYTES)
        if self._body.is_eof() and reusable(self._connection):
            self._connection.release()
        else:
            abort(self._connection)

    async def _read(self, deadline: float, begun: bytearray | None) -> None:
        soon = asyncio.get_running_loop().time() + DRAIN_SECONDS
        left = DRAIN_BYTES
        async with asyncio.timeout_at(min(soon, deadline)):
            while left > 0 and (chunk := await self._body.readany()):
                left -= len(chunk)
                if begun is not None:
                    begun += chunk[: KEPT_ANSWER_BYTES - len(begun)]


async def exchange(connection: Connection, head: bytes, body: bytes, deadline: float) -> Answer:
    """Send a request and wait for its answer until `deadline`, on the event loop's clock.

    Raises TimeoutError, HttpProcessingError (the answer is not HTTP), aiohttp.ClientError or OSError (the connection
    broke); the connection is closed then.
    """
    protocol = protocol_of(connection)
    expiry = protocol.expire_at(deadline)
    try:
        protocol.expect_answer(LONGEST_HEADER_BYTES)
        if len(body) <= PIECE_BYTES:
            _transport(protocol).write(head + body)
            return Answer(connection, *await _answered(protocol))
        return Answer(connection, *await _sent_in_pieces(protocol, head, body))
    except BaseException:
        abort(connection)
        raise
    finally:
        expiry.cancel()


async def answered(connection: Connection, deadline: float) -> Answer:
    """The answer to a request that was written before, as `exchange`."""
    protocol = protocol_of(connection)
    expiry = protocol.expire_at(deadline)
    try:
        return Answer(connection, *await _answered(protocol))
    except BaseException:
        abort(connection)
        raise
    finally:
        expiry.cancel()


def headers_with_credentials(request: Request) -> Mapping[str, str]:
    """The request's headers, and the credentials of its URL unless the webhook has a header for them."""
    authorization = request.target.authorization
    if authorization is None or any(name.lower() == "authorization" for name in request.headers):
        return request.headers
    return {**request.headers, "Authorization": authorization}


def head_of(path: str, host: str, headers: Mapping[str, str], length: int) -> bytes:
    """The request's head (RFC 9112, 3 and 5). `path`: with the query. `host`: unless the headers have one.

    Raises ValueError.
    """
    if isinstance(headers, HeaderText) and headers.plain:  # no line of it ends early
        fields = headers.text
        return f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Content-Length: {length}\r\n\r\n".encode()
    if not _HOSTS.isdisjoint(headers):
        host = next(headers[name] for name in reversed([*headers]) if name in _HOSTS)
        headers = {name: value for name, value in headers.items() if name not in _HOSTS}
    text = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{lines_of(headers)}Content-Length: {length}\r\n\r\n"
    if not text.count("\r") == text.count("\n") == len(headers) + 4 or "\0" in text:
        raise ValueError("a line break or NUL inside the URL or a header")
    return text.encode()


_HOSTS = frozenset(map("".join, product(*zip("host", "HOST", strict=True))))
"""`Host` however it is spelled: names of headers are compared without case (RFC 9110, 5.1)."""


def _transport(protocol: Protocol) -> asyncio.Transport:
    transport = protocol.transport
    if transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError("the connection is closing")
    return transport


async def _answered(protocol: Protocol) -> tuple[RawResponseMessage, StreamReader]:
    """The final answer; interim ones (1xx, but for 101) are passed over (RFC 9110, 15.2)."""
    while True:
        message, body = await protocol.read()
        if message.code >= 200 or message.code == 101:
            return message, body


async def _sent_in_pieces(protocol: Protocol, head: bytes, body: bytes) -> tuple[RawResponseMessage, StreamReader]:
    """Others get the loop while the socket is slow to take the body. An answer may come before its end."""
    _transport(protocol).write(head)
    writing = asyncio.ensure_future(_write(protocol, body))
    try:
        return await _answered(protocol)
    finally:
        if not writing.done():
            writing.cancel()
            protocol.force_close()


async def _write(protocol: Protocol, body: bytes) -> None:
    view = memoryview(body)
    with suppress(OSError):  # the protocol raises it where the answer is awaited
        for start in range(0, len(view), PIECE_BYTES):
            _transport(protocol).write(view[start : start + PIECE_BYTES])
            await protocol.writable()

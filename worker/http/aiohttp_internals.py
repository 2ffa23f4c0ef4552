"""Every name of aiohttp that its documentation does not promise. The rest of the worker uses only what it does.

aiohttp is capped to a minor version in pyproject.toml for this file's sake, and tests/http/test_aiohttp_internals.py
names what has moved when another one is tried.
"""

import asyncio
import re
from functools import partial
from typing import Any, NamedTuple, cast

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, HttpResponseParser, RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

__all__ = [
    "Connection",
    "ConnectionKey",
    "HttpProcessingError",
    "Origin",
    "Pool",
    "Protocol",
    "RawResponseMessage",
    "StreamReader",
    "origin_of",
    "protocol_of",
]

MOST_ANSWERS_AT_ONCE = 1000
"""In one read of the socket. aiohttp reads interim answers (1xx) without end, and without a pause for others."""

_NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=None)  # the attempt has a deadline of its own


_ZONE = re.compile(r"%[^]]*(?=])")


class Origin(NamedTuple):
    """Scheme, host and port (RFC 9110, 4.3.1), as aiohttp's connector asks for them."""

    request: aiohttp.ClientRequest
    key: ConnectionKey

    @property
    def host(self) -> str:
        """The `Host` header."""
        return self.request.headers[hdrs.HOST]


def origin_of(origin: str, loop: asyncio.AbstractEventLoop) -> Origin:
    """`https://hooks.example:8443`, percent-encoded as it is to be sent. Raises ValueError."""
    request = aiohttp.ClientRequest(hdrs.METH_POST, URL(origin, encoded=True), loop=loop)
    # An IPv6 zone names an interface of this machine, and means nothing to the receiver (RFC 4007, 11.2).
    request.headers[hdrs.HOST] = _ZONE.sub("", request.headers[hdrs.HOST])
    return Origin(request, request.connection_key)


class Pool(aiohttp.TCPConnector):
    """aiohttp's connections without its ClientSession, spoken on by our `Protocol`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast("partial[ResponseHandler]", partial(Protocol, loop=self._loop))

    async def last_used(self, origin: Origin) -> Connection | None:
        """The idle connection that was released last, out of the pool; None: there is none. Returns at once.

        aiohttp by itself takes the oldest, so that after a burst all of them are used in turn and none ever expires.
        """
        if (idle := self._conns.get(origin.key)) is not None:
            idle.rotate(1)
        return await self._get(origin.key, [])

    async def new(self, origin: Origin) -> Connection:
        """Connects, unless an idle connection is in the pool. Raises aiohttp.ClientConnectionError, OSError."""
        return await self.connect(origin.request, [], _NO_LIMIT)


class Protocol(ResponseHandler):
    """An answer whose head is whole counts, also when what follows in the same segment is not HTTP.

    aiohttp's parser throws the head away with the rest: a length one byte short would repeat a POST that was taken.
    """

    _segment = b""

    def expire_at(self, deadline: float) -> asyncio.TimerHandle:
        """At this time of the event loop's clock whoever waits for the answer gets a TimeoutError.

        6 us cheaper an attempt than asyncio.timeout.
        """
        return self._loop.call_at(deadline, self._expire)

    def expect_answer(self, longest_header_bytes: int) -> None:
        """Before a request is written. The body is never used, so a gzip bomb stays packed."""
        self.set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=longest_header_bytes,
            max_field_size=longest_header_bytes,
        )

    async def writable(self) -> None:
        """Waits while the socket's buffer is full. Raises OSError when the connection broke."""
        await self._drain_helper()

    def data_received(self, data: bytes) -> None:
        self._segment = data
        super().data_received(data)
        self._segment = b""
        if len(self) > MOST_ANSWERS_AT_ONCE and self.transport is not None:
            self.transport.abort()
            self.set_exception(HttpProcessingError(message="a flood of interim answers"))

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        if isinstance(exc, HttpProcessingError):
            if self._payload is None or self._payload.is_eof():
                self._salvage()
            else:
                self._payload.set_exception(aiohttp.ClientPayloadError("the rest of the answer is not HTTP"))
        super().set_exception(exc, *cause)

    def _expire(self) -> None:
        self.set_exception(TimeoutError())

    def _salvage(self) -> None:
        """Queue the answer whose head is in the segment; it is read before the exception that follows."""
        head, end, _ = self._segment.partition(b"\r\n\r\n")
        parser = HttpResponseParser(self, self._loop, 2**16, auto_decompress=False)
        try:
            messages, *_ = parser.feed_data(head + end)
        except HttpProcessingError:
            return
        for message, body in messages:
            body.set_exception(aiohttp.ClientPayloadError("what followed the head was not HTTP"))
            self.feed_data((message, body))


def protocol_of(connection: Connection) -> Protocol:
    protocol = connection.protocol
    assert isinstance(protocol, Protocol)
    return protocol

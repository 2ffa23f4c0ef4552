"""Every private name of aiohttp that the worker reaches for. The rest of the room uses what this file hands out.

Of that, `Protocol` inherits members that aiohttp's documentation does not promise either (`read`, `abort`, ...).
aiohttp is capped to a minor version in pyproject.toml for this file's sake, and tests/http/test_aiohttp_internals.py
names what has moved of both when another one is tried.
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

LONGEST_BEGUN = 4096
"""Bytes that are kept of a head which comes in pieces; its status line is at the beginning."""

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
    """An answer counts from its head on, and a 2xx from its status line on, when what follows is not HTTP.

    aiohttp's parser throws the head away with the rest: a length one byte short, a header that is none would repeat a
    POST that was taken. A head that is cut, or does not end in time, is no answer: a proxy may have begun it.
    """

    _begun = b""
    """The bytes of an answer whose head is not whole yet, interim answers left out."""

    def expire_at(self, deadline: float) -> asyncio.TimerHandle:
        """At this time of the event loop's clock whoever waits for the answer gets a TimeoutError.

        6 us cheaper an attempt than asyncio.timeout.
        """
        return self._loop.call_at(deadline, self._expire)

    def expect_answer(self, longest_header_bytes: int) -> None:
        """Before a request is written. The body is never used, so a gzip bomb stays packed."""
        self._begun = b""
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
        self._begun = self._begun + data if self._begun else data
        super().data_received(data)
        answers = len(self)
        if not answers:  # a part of a head, or of a body
            in_a_body = self._payload is not None and not self._payload.is_eof()
            self._begun = b"" if in_a_body else self._begun[:LONGEST_BEGUN]
        elif self._buffer[-1][0][0].code >= 200:
            self._begun = b""
        else:
            self._begun = _after_interim(self._begun)
        if answers > MOST_ANSWERS_AT_ONCE and self.transport is not None:
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
        """Queue the answer that has begun, if it counts; it is read before the exception that follows."""
        begun, self._begun = _after_interim(self._begun), b""
        head, end, _ = begun.partition(b"\r\n\r\n")
        taken = _STATUS_2XX.match(begun)
        answers = self._parsed(head + end) if end else []
        if not answers and taken:
            answers = self._parsed(b"HTTP/1.1 %b OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % taken[1])
        for message, body in answers:
            body.set_exception(aiohttp.ClientPayloadError("what followed the head was not HTTP"))
            self.feed_data((message, body))

    def _parsed(self, head: bytes) -> list[tuple[RawResponseMessage, StreamReader]]:
        parser = HttpResponseParser(self, self._loop, 2**16, auto_decompress=False)
        try:
            messages, *_ = parser.feed_data(head)
        except HttpProcessingError:
            return []
        return list(messages)


_STATUS_2XX = re.compile(rb"HTTP/1\.[01] (2[0-9]{2})(?: [^\r\n]*)?\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9]{2}[ \r\n]")


def _after_interim(answers: bytes) -> bytes:
    """What follows the interim answers (1xx, but for 101) that are whole."""
    at = 0
    while _INTERIM.match(answers, at) and (end := answers.find(b"\r\n\r\n", at)) >= 0:
        at = end + 4
    return answers[at:]


def protocol_of(connection: Connection) -> Protocol:
    protocol = connection.protocol
    assert isinstance(protocol, Protocol)
    return protocol

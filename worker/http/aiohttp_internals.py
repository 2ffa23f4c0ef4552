"""Every private name of aiohttp that the worker reaches for. The rest of the room uses what this file hands out.

Of that, `Protocol` inherits members that aiohttp's documentation does not promise either (`read`, `abort`, ...).
aiohttp is capped to a minor version in pyproject.toml for this file's sake, and tests/http/test_aiohttp_internals.py
names what has moved of both when another one is tried.
"""

import asyncio
import re
import ssl
import typing
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Literal, NamedTuple, cast

import aiohttp
from aiohttp import AddrInfoType, ClientRequest, ClientTimeout, hdrs
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, HttpResponseParser, RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from worker.http.tunnel import ProxyFault, Tunnels

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

_NO_LIMIT = ClientTimeout(total=None, sock_connect=None)  # the attempt has a deadline of its own

TUNNEL_SHARE = 0.9
"""Of the time that is left for an attempt, for its tunnel: a slow proxy must not pass for a receiver's timeout."""

_ZONE = re.compile(r"%[^]]*(?=])")


class Origin(NamedTuple):
    """Scheme, host and port (RFC 9110, 4.3.1), as aiohttp's connector asks for them. `host`: the `Host` header."""

    request: aiohttp.ClientRequest
    key: ConnectionKey
    host: str


def origin_of(origin: str, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext | Literal[True] = True) -> Origin:
    """`https://hooks.example:8443`, percent-encoded as it is to be sent. Raises ValueError.

    Connections are kept by origin and `context`; True is the pool's own.
    """
    request = aiohttp.ClientRequest(hdrs.METH_POST, URL(origin, encoded=True), loop=loop, ssl=context)
    # An IPv6 zone names an interface of this machine, and means nothing to the receiver (RFC 4007, 11.2).
    host = _ZONE.sub("", request.headers[hdrs.HOST])
    request.headers[hdrs.HOST] = host
    return Origin(request, request.connection_key, host)


class Pool(aiohttp.TCPConnector):
    """aiohttp's connections without its ClientSession, spoken on by our `Protocol`.

    `tunnels` lead through the operator's proxy; None: every connection is direct.
    """

    def __init__(self, tunnels: Tunnels | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._tunnels = tunnels
        self._keeps: float = self._keepalive_timeout or inf
        self._factory = cast("partial[ResponseHandler]", partial(Protocol, loop=self._loop))

    async def last_used(self, origin: Origin) -> Connection | None:
        """The idle connection that was released last, out of the pool; None: there is none. Returns at once.

        aiohttp by itself takes the oldest, so that after a burst all of them are used in turn and none ever expires.
        """
        if (idle := self._conns.get(origin.key)) is not None:
            idle.rotate(1)
        return await self._get(origin.key, [])

    def take(self, origin: Origin) -> "Protocol | None":
        """As `last_used`, without a coroutine; None too where that one has something to close first."""
        idle = self._conns.get(origin.key)
        if not idle:
            return None
        protocol, since = idle[-1]
        if not protocol.is_connected() or protocol.should_close or since + self._keeps < monotonic():
            return None
        idle.pop()
        self._acquired.add(protocol)
        assert isinstance(protocol, Protocol)
        return protocol

    def give_back(self, origin: Origin, protocol: "Protocol") -> None:
        """A connection that `take` gave, to be idle again."""
        if self._closed or self._cleanup_handle is None:  # nobody looks after idle connections: aiohttp sees to it
            self._release(origin.key, protocol)
        else:
            self._acquired.discard(protocol)
            self._conns[origin.key].append((protocol, monotonic()))

    def connection(self, origin: Origin, protocol: "Protocol") -> Connection:
        """What `take` gave, as the rest of the room knows it."""
        return Connection(self, origin.key, protocol, self._loop)

    async def new(self, origin: Origin, deadline: float) -> Connection:
        """Connects, unless an idle connection is in the pool. Raises aiohttp.ClientConnectionError, OSError.

        `deadline`, on the event loop's clock, is the attempt's: a tunnel takes no more than its share of what is left.
        """
        limit = _NO_LIMIT
        if self._tunnels is not None:
            limit = ClientTimeout(total=None, sock_connect=TUNNEL_SHARE * max(0.0, deadline - self._loop.time()))
        return await self.connect(origin.request, [], limit)

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        if self._tunnels is not None and self._tunnels.proxy.resolves_name(host, port):
            return [ResolveResult(hostname=host, host=host, port=port, family=self._family, proto=0, flags=0)]
        return await super()._resolve_host(host, port, traces)

    async def _wrap_create_connection(
        self,
        *arguments: Any,
        addr_infos: list[AddrInfoType],
        req: ClientRequest,
        timeout: ClientTimeout,
        client_error: type[Exception] = aiohttp.ClientConnectorError,
        **options: Any,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        host, port = req.url.raw_host or "", addr_infos[0][4][1]
        if self._tunnels is None or not self._tunnels.proxy.carries(host, port):
            return await super()._wrap_create_connection(
                *arguments, addr_infos=addr_infos, req=req, timeout=_NO_LIMIT, client_error=client_error, **options
            )
        places = [info[4][:2] for info in addr_infos]
        addr_infos.clear()  # aiohttp would try the rest of them again
        return await self._tunnelled(
            self._tunnels, places, timeout.sock_connect, req.connection_key, arguments, options
        )

    async def _tunnelled(
        self,
        tunnels: Tunnels,
        places: list[Any],
        seconds: float | None,
        key: ConnectionKey,
        arguments: Any,
        options: Any,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """As aiohttp does it, on a socket that leads through the proxy to the first of the places that gets one."""
        until = None if seconds is None else self._loop.time() + seconds
        for left, (host, port) in zip(range(len(places) - 1, -1, -1), places, strict=True):
            limit = until and until - self._loop.time()
            try:
                return await self._loop.create_connection(
                    *arguments, **options, sock=await tunnels.open(host, port, limit)
                )
            except OSError as error:
                if not left or (until is not None and self._loop.time() >= until):
                    raise _as_aiohttps(key, error) from error
        raise AssertionError("a name has addresses")


def _as_aiohttps(key: ConnectionKey, error: OSError) -> aiohttp.ClientConnectorError:
    """By the classes of aiohttp's own connects."""
    match error:
        case ssl.SSLCertVerificationError():
            return aiohttp.ClientConnectorCertificateError(key, error)
        case ssl.SSLError():
            return aiohttp.ClientConnectorSSLError(key, error)
        case ProxyFault():
            return aiohttp.ClientProxyConnectionError(key, error)
    return aiohttp.ClientConnectorError(key, error)


class Hears(typing.Protocol):
    """Who waits for an answer without a task."""

    def heard(self, data: bytes) -> bool:
        """The first bytes of it. False: they are for aiohttp's parser, which was told to expect them."""

    def lost(self) -> None:
        """The connection is lost, as aiohttp is about to say in its way."""


class Protocol(ResponseHandler):
    """An answer counts from its head on, and a 2xx from its status line on, when what follows is not HTTP.

    aiohttp's parser throws the head away with the rest: a length one byte short, a header that is none would repeat a
    POST that was taken. A head that is cut, or does not end in time, is no answer: a proxy may have begun it.
    """

    _begun = b""
    """The bytes of an answer whose head is not whole yet, interim answers left out."""

    post: Hears | None = None

    said: tuple[bytes, int] = (b"", 0)
    """The last plain answer on this connection, and its status: within a second a receiver repeats itself to the
    byte."""

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

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.post is not None:
            self.post.lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.post is not None and self.post.heard(data):
            return
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

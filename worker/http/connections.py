"""The pool of connections: which one carries a POST, and what of a broken answer still counts."""

from functools import partial
from typing import Any, NamedTuple, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, HttpResponseParser

MOST_ANSWERS_AT_ONCE = 1000
"""In one read of the socket. aiohttp reads interim answers (1xx) without end, and without a pause for others."""

_NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=None)  # the attempt has a deadline of its own


class Origin(NamedTuple):
    """Scheme, host and port, as aiohttp's connector asks for them."""

    request: aiohttp.ClientRequest
    key: ConnectionKey


class Connector(aiohttp.TCPConnector):
    """Chooses kept connections with care."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast("partial[ResponseHandler]", partial(Protocol, loop=self._loop))

    async def kept(self, origin: Origin) -> Connection | None:
        """The kept connection that was used last, if there is one; returns at once. Closes those that cannot be used.

        aiohttp takes the oldest, so that after a burst all of them are used in turn and none ever expires.
        An answer that nobody asked for (a 408 to an idle connection, the second half of two) must not become the
        answer to the next POST, as aiohttp lets it.
        """
        while True:
            if (idle := self._conns.get(origin.key)) is not None:
                idle.rotate(1)
            if (connection := await self._get(origin.key, [])) is None:
                return None
            if not protocol_of(connection).should_close:
                return connection
            abort(connection)

    async def fresh(self, origin: Origin) -> Connection:
        """A new connection. Raises aiohttp.ClientConnectionError, OSError."""
        while (connection := await self.kept(origin)) is not None:
            abort(connection)  # it was kept beside a stale one, and is likely stale too
        return await self.connect(origin.request, [], _NO_LIMIT)


class Protocol(ResponseHandler):
    """An answer whose head is whole counts, also when what follows in the same segment is not HTTP.

    aiohttp's parser throws the head away with the rest: a length one byte short would repeat a POST that was taken.
    """

    _segment = b""

    def expire(self) -> None:
        """Whoever waits for the answer gets a TimeoutError: 6 us cheaper an attempt than asyncio.timeout."""
        self.set_exception(TimeoutError())

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


def reusable(connection: Connection) -> bool:
    """Whether it can carry another POST.

    Not with bytes left that a receiver has answered without reading: they would pile up with each POST.
    """
    protocol = protocol_of(connection)
    transport = protocol.transport
    return not protocol.should_close and transport is not None and transport.get_write_buffer_size() == 0


def abort(connection: Connection) -> None:
    """Close at once: a receiver that does not read would hold the socket of a mere `close` for ever."""
    protocol_of(connection).abort()
    connection.close()

"""The pool of connections: which one carries a POST, and what of a broken answer still counts."""

from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, HttpResponseParser
from aiohttp.tracing import Trace

MOST_ANSWERS_AT_ONCE = 1000
"""In one read of the socket. aiohttp reads interim answers (1xx) without end, and without a pause for others."""


@dataclass(slots=True)
class ConnectionUse:
    """What a POST asks of its connection, and what it got. Set in CONNECTION_USE before each POST."""

    fresh_only: bool = False
    reused: bool = False
    """The connection had carried another POST before: its receiver may have closed it meanwhile."""


CONNECTION_USE: ContextVar[ConnectionUse] = ContextVar("connection_use")


class Connector(aiohttp.TCPConnector):
    """Chooses kept connections with care. aiohttp's own tracing tells of reuse too, at 15 us a request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast("partial[ResponseHandler]", partial(_Protocol, loop=self._loop))

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """A kept connection, else a new one; closes those that cannot be used.

        Kept beside a stale connection is likely stale too. An answer that nobody asked for (a 408 to an idle
        connection, the second half of two) must not become the answer to the next POST, as aiohttp lets it.
        """
        use = CONNECTION_USE.get()
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert isinstance(protocol, _Protocol)
            use.reused, protocol.used = protocol.used, True
            if not use.reused or not (use.fresh_only or protocol.should_close):
                return connection
            connection.close()


class _Protocol(ResponseHandler):
    """An answer whose head is whole counts, also when what follows in the same segment is not HTTP.

    aiohttp's parser throws the head away with the rest: a length one byte short would repeat a POST that was taken.
    """

    used = False
    _segment = b""

    def data_received(self, data: bytes) -> None:
        self._segment = data
        super().data_received(data)
        self._segment = b""
        if len(self) > MOST_ANSWERS_AT_ONCE and self.transport is not None:
            self.transport.abort()
            self.set_exception(HttpProcessingError(message="a flood of interim answers"))

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        if isinstance(exc, HttpProcessingError) and (self._payload is None or self._payload.is_eof()):
            self._salvage()
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

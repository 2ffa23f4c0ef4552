"""A receiver that knows when each event came, and misbehaves where it is told to; a process of its own.

`POST /ok/...` answers 200 at once, `/tenth/...` after 100 ms, `/slow/...` after ten seconds, `/broken/...` 500 at
once, `/hang/...` never. Of each POST it notes the time in `"sent":<seconds>` of the body, and that of its arrival
(both of the monotonic clock, which all processes share). `GET /count` says how many are noted, `GET /noted` gives
and forgets them.

Usage: python -m tests.bench.receiver PORT
"""

import asyncio
import json
import sys
import time
from typing import ClassVar, cast

import uvloop

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_BROKEN = b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n"
_LATER = {b"/tenth": 0.1, b"/slow": 10.0}
"""Path -> seconds until the answer."""


class Receiver(asyncio.Protocol):
    """As much HTTP/1.1 as the bench needs: one request at a time, with content-length."""

    noted: ClassVar[list[tuple[float, float]]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if len(rest) >= length:
            self._buffer = b""
            self._answer(head, rest)

    def _answer(self, head: bytes, body: bytes) -> None:
        method, path = head.split(b" ", 2)[:2]
        if method == b"GET":
            self._tell(path)
            return
        sent = body.partition(b'"sent":')[2].partition(b",")[0]
        self.noted.append((float(sent or 0), time.monotonic()))
        path = path[: path.find(b"/", 1)] if b"/" in path[1:] else path
        if path in _LATER:
            asyncio.get_running_loop().call_later(_LATER[path], self._write, _OK)
        elif path != b"/hang":
            self._write(_BROKEN if path == b"/broken" else _OK)

    def _tell(self, path: bytes) -> None:
        if path == b"/noted":
            content = json.dumps(self.noted).encode()
            self.noted.clear()
        else:
            content = b"%d" % len(self.noted)
        self._write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content))

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

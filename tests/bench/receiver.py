"""A receiver that knows how late each event is, and misbehaves where it is told to; a process of its own.

`POST /ok/...` answers 200 at once and notes the time since `"sent":<Unix time>` in the body; `/slow/...` answers
after ten seconds, `/broken/...` 500, `/hang/...` never. `GET /latencies` gives and forgets what was noted.

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
SLOW_SECONDS = 10.0


class Receiver(asyncio.Protocol):
    """As much HTTP/1.1 as the bench needs: one request at a time, with content-length."""

    latencies: ClassVar[list[float]] = []

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
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/ok"):
            sent = body.partition(b'"sent":')[2].partition(b",")[0]
            self.latencies.append(time.time() - float(sent or 0))
            self._transport.write(_OK)
        elif path.startswith(b"/broken"):
            self._transport.write(_BROKEN)
        elif path.startswith(b"/slow"):
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self._transport.write, _OK)
        elif path.startswith(b"/latencies"):
            content = json.dumps(self.latencies).encode()
            self.latencies.clear()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content))


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

"""A receiver that notes which event came where and when; a process of its own, on the servers' core.

`POST /ok/<endpoint>` answers 200 at once, `/wait-<ms>/<endpoint>` later, `/broken/<endpoint>` 500, `/hang/<endpoint>`
never. Of those that get a 200 it notes `"number":<n>` and `"sent":<seconds>` of the body, the endpoint, and the time
of arrival: seconds of the monotonic clock, which all processes share. `GET /count` says how many it has noted and how
many of them have a number from SECOND_SERIES on; `GET /noted` gives and forgets them.

Usage: python -m tests.bench.noting PORT
"""

from __future__ import annotations  # array[float] is for 3.12 to evaluate

import asyncio
import gc
import sys
import time
from array import array
from typing import ClassVar, cast

import uvloop

SECOND_SERIES = 10_000_000

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
_OK = _HEAD % 0
_BROKEN = b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n"


class Noting(asyncio.Protocol):
    """As much HTTP/1.1 as the bench needs: one request at a time, with content-length."""

    noted: ClassVar[array[float]] = array("d")
    """Number, endpoint, sent, arrived; number, endpoint, ..."""

    second_series: ClassVar[list[int]] = [0]

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
            self._answer(head.split(b" ", 2)[1], rest)

    def _answer(self, path: bytes, body: bytes) -> None:
        _, behaviour, *endpoint = path.split(b"/")
        if behaviour == b"ok":
            self._note(endpoint[0], body)
            self._transport.write(_OK)
        elif behaviour.startswith(b"wait-"):
            self._note(endpoint[0], body)
            asyncio.get_running_loop().call_later(int(behaviour[5:]) / 1000, self._transport.write, _OK)
        elif behaviour == b"broken":
            self._transport.write(_BROKEN)
        elif behaviour == b"count":
            counts = b"%d %d" % (len(self.noted) // 4, self.second_series[0])
            self._transport.write(_HEAD % len(counts) + counts)
        elif behaviour == b"noted":
            content = self.noted.tobytes()
            del self.noted[:]
            self.second_series[0] = 0
            self._transport.write(_HEAD % len(content) + content)

    def _note(self, endpoint: bytes, body: bytes) -> None:
        number = body.partition(b'"number":')[2].partition(b",")[0]
        sent = body.partition(b'"sent":')[2].partition(b",")[0]
        self.second_series[0] += int(number) >= SECOND_SERIES
        self.noted.extend((float(number), float(endpoint), float(sent), time.monotonic()))


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Noting, "127.0.0.1", port, backlog=4096)
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

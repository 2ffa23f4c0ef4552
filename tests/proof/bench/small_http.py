"""As much HTTP/1.1 as the bench's own receivers need: one request at a time, with content-length."""

import asyncio
from typing import cast

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
OK = HEAD % 0
BROKEN = b"HTTP/1.1 500 Broken\r\ncontent-length: 0\r\n\r\n"


class SmallHttp(asyncio.Protocol):
    """Hands each request, once it is whole, to `answer`."""

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
            self.answer(*head.split(b" ", 2)[:2], rest)

    def answer(self, method: bytes, path: bytes, body: bytes) -> None:
        raise NotImplementedError


async def serve(receiver: type[SmallHttp], port: int) -> None:
    """On loopback, for ever."""
    server = await asyncio.get_running_loop().create_server(receiver, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()

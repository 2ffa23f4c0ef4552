"""A TCP proxy between worker and broker that a test makes late, deaf, or broken, connection by connection."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from contextlib import suppress
from enum import Enum
from typing import Self

from tests.support.waiting import Facts

CONSUME, PUBLISH = "worker consume", "worker publish"
"""How the worker's connections end in the broker's own lists (client property `connection_name`)."""

BASIC_ACK = b"\x00\x3c\x00\x50"
"""Class and method of the frame that settles a message."""

_NAME = re.compile(rb"connection_nameS(.{4})", re.DOTALL)


class Way(Enum):
    """A direction, seen from the worker."""

    UP = "worker to broker"
    DOWN = "broker to worker"


class Link:
    """One proxied connection; `name` is known once the client has introduced itself, "" until then."""

    def __init__(
        self, facts: Facts, client: asyncio.StreamWriter, broker: asyncio.StreamWriter, refused: set[str]
    ) -> None:
        self.name = ""
        self._refused = refused
        self.open = True
        self.delay = 0.0
        """Seconds that each chunk waits, both ways."""
        self._facts = facts
        self._to = {Way.UP: broker, Way.DOWN: client}
        self._held = {way: bytearray() for way in Way}
        self._stalled: set[Way] = set()
        self._cut: dict[Way, int] = {}

    def stall(self, *ways: Way) -> None:
        """Keep what comes from now on; when the connection ends, it is lost."""
        self._stalled.update(ways)

    def resume(self, *ways: Way) -> None:
        self._stalled.difference_update(ways)
        for way in ways:
            self._forward(way)

    def cut(self, way: Way, after: int = 10) -> None:
        """Pass so many more bytes, a frame's head and a little more, and reset the connection."""
        self._cut[way] = after

    def reset(self) -> None:
        """Both sides get an RST."""
        self.open = False
        for writer in self._to.values():
            raw = writer.get_extra_info("socket")
            if raw is not None:
                with suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def reset_if_refused(self) -> None:
        if self.open and self.name.endswith(tuple(self._refused)):
            self.reset()

    async def wait_held(self, way: Way, wanted: bytes = b"", timeout: float = 15.0) -> None:
        """Until a stalled direction holds back `wanted`."""
        await self._facts.wait_for(
            lambda: wanted in self._held[way] and bool(self._held[way]), timeout, lambda: f"{wanted!r} was not sent"
        )

    async def wait_closed(self, timeout: float = 15.0) -> None:
        await self._facts.wait_for(lambda: not self.open, timeout, lambda: f"{self.name!r} is still open")

    async def pump(self, reader: asyncio.StreamReader, way: Way) -> None:
        """Until either side ends it."""
        with suppress(ConnectionError):
            while chunk := await reader.read(1 << 16):
                self._recognise(chunk)
                self._held[way] += chunk
                if self.delay:
                    await asyncio.sleep(self.delay)
                self._forward(way)
                await self._facts.changed()
        if way is Way.DOWN and way in self._stalled:
            return  # a dead line tells the worker nothing, not even that the broker has hung up
        self.open = False
        self._to[way].close()
        await self._facts.changed()

    def _forward(self, way: Way) -> None:
        if way in self._stalled or not self._held[way]:
            return
        chunk, self._held[way] = bytes(self._held[way]), bytearray()
        if way in self._cut:
            self._to[way].write(chunk[: self._cut[way]])
            self._cut[way] -= len(chunk)
            if self._cut[way] <= 0:
                self.reset()
        else:
            self._to[way].write(chunk)

    def _recognise(self, chunk: bytes) -> None:
        found = None if self.name else _NAME.search(chunk)
        if found:
            length = int.from_bytes(found[1])
            self.name = chunk[found.end() : found.end() + length].decode()
            self.reset_if_refused()


class Proxy:
    """`async with Proxy(broker.port) as proxy`: the worker is given `proxy.uri()`."""

    def __init__(self, broker_port: int) -> None:
        self.links: list[Link] = []
        self.port = 0
        self._broker_port = broker_port
        self._refused: set[str] = set()
        self._facts = Facts()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for link in self.links:
            link.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def uri(self, **query: object) -> str:
        parameters = "&".join(f"{name}={value}" for name, value in query.items())
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{'?' if parameters else ''}{parameters}"

    def refuse(self, name: str) -> None:
        """Reset every connection, old and new, whose name ends so, until `allow`."""
        self._refused.add(name)
        for link in self.links:
            link.reset_if_refused()

    def allow(self, name: str) -> None:
        self._refused.discard(name)

    async def link(self, name: str, after: Link | None = None, timeout: float = 15.0) -> Link:
        """The open connection whose name ends so; another than `after`, made later."""

        def found() -> list[Link]:
            begin = self.links.index(after) + 1 if after else 0
            return [link for link in self.links[begin:] if link.open and link.name.endswith(name)]

        await self._facts.wait_for(lambda: bool(found()), timeout, lambda: f"no connection {name!r}")
        return found()[-1]

    def count(self, name: str) -> int:
        """Connections so far, open or not, whose name ends so."""
        return sum(link.name.endswith(name) for link in self.links)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._talk(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.transport.abort())  # also of one that is cancelled before it began

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker_port)
        except ConnectionError:  # the broker is down: so is the way to it
            writer.close()
            return
        link = Link(self._facts, writer, to_broker, self._refused)
        self.links.append(link)
        try:
            await asyncio.gather(link.pump(reader, Way.UP), link.pump(from_broker, Way.DOWN))
        finally:
            link.reset()

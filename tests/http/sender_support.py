"""What the sender's tests share: a sender that is checked for leaks, and raw receivers that misbehave."""

import asyncio
import os
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from tests.http.egress_support import policy
from tests.support.receiver import HostileReceiver, read_request
from tests.support.waiting import until
from worker.delivery.ports import Post
from worker.domain.request.build import Request
from worker.domain.target import parsed
from worker.domain.verdict import Answered, Failure, Result, Unanswered
from worker.http.egress import EgressPolicy
from worker.http.proxy import EgressProxy
from worker.http.sender import Sender

LOOPBACK = policy("127.0.0.0/8")
HEADERS = {"content-type": "application/json", "user-agent": "test"}
UNUSABLE = Unanswered(Failure.REFUSED, "the HTTP client cannot use the webhook's URL or headers")
PATIENCE = 10.0
"""Seconds: a deadline that no healthy attempt comes near."""


WARM_UP = {"x-warm-up": "1"}
"""Of a request that `Replies` answers plainly, so that the next one finds a kept connection."""


class Ended:
    """ports.PostEnd: the result of a POST that was begun without a task, to be awaited and cancelled like a task's."""

    def __init__(self) -> None:
        self.came: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.rest: asyncio.Task[Result] | None = None

    def answered(self, result: Result) -> None:
        self.came.set_result(result)

    def goes_on(self, rest: Coroutine[Any, Any, Result]) -> None:
        assert self.rest is None
        self.rest = asyncio.get_running_loop().create_task(rest)
        self.rest.add_done_callback(lambda rest: self.came.cancel() if rest.cancelled() else self._passed_on(rest))

    async def wait(self, post: Post) -> Result:
        try:
            return await asyncio.shield(self.came)
        except asyncio.CancelledError:
            if self.rest is None:
                post.go_on()
            await asyncio.sleep(0)
            assert self.rest is not None
            self.rest.cancel()
            return await self.rest

    def _passed_on(self, rest: asyncio.Task[Result]) -> None:
        if (fault := rest.exception()) is not None:
            self.came.set_exception(fault)
        else:
            self.came.set_result(rest.result())


class Pool(Sender):
    """A sender whose connections can be counted. It sends as the pipeline does: without a task where that is possible.

    `in_tasks`: never so. `warm`: each POST finds a kept connection, for which `Replies` gets a request before.
    """

    in_tasks = False
    warm = False
    begun = 0

    def count_connects(self) -> list[object]:
        """A list that grows with each address that is connected to from now on."""
        made: list[object] = []
        connector = self._connector
        make_socket = connector._socket_factory
        assert make_socket is not None

        def counting(address: aiohttp.AddrInfoType) -> socket.socket:
            made.append(address)
            return make_socket(address)

        connector._socket_factory = counting
        return made

    def shrink_buffers(self) -> None:
        """From now on the kernel takes only a few kilobytes for each connection."""
        connector = self._connector
        make_socket = connector._socket_factory
        assert make_socket is not None

        def small(address: aiohttp.AddrInfoType) -> socket.socket:
            made = make_socket(address)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            return made

        connector._socket_factory = small

    async def post(
        self, url: str, body: bytes = b"{}", timeout: float = PATIENCE, headers: Mapping[str, str] = HEADERS
    ) -> Result:
        request = Request(parsed(url), headers, body)
        if self.in_tasks:
            return await self.send(request, timeout)
        if self.warm and not self.kept:
            assert await self.send(Request(request.target, WARM_UP, b""), PATIENCE) == Answered(200)
        end = Ended()
        post = self.posts.begin(request, timeout, end)
        if post is None:
            return await self.send(request, timeout)
        self.begun += 1
        self.posts.write_begun()
        return await end.wait(post)

    @property
    def in_use(self) -> int:
        connector = self._connector
        return len(connector._acquired)

    @property
    def answer_begun(self) -> bool:
        """Whether the head of an answer has arrived whose body is not read yet."""
        connector = self._connector
        # While it connects a placeholder stands for the protocol.
        return any(getattr(protocol, "_payload", None) is not None for protocol in connector._acquired)

    @property
    def kept(self) -> int:
        connector = self._connector
        return sum(map(len, connector._conns.values()))

    async def none_in_use(self) -> None:
        await until(lambda: self.in_use == 0, "no connection is in use")


def connected_to(port: int) -> int:
    """How many sockets of this process are connected to a local port."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as twin:
            found += twin.getpeername()[1:2] == (port,)  # a Unix socket has no port
    return found


def accepted_at(port: int) -> int:
    """How many sockets of this process were accepted at a local port, those whose handshake is not over included."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as twin:
            found += bool(twin.getpeername()) and twin.getsockname()[1:2] == (port,)
    return found


@asynccontextmanager
async def pool(
    rules: EgressPolicy = LOOPBACK,
    *,
    names: AbstractResolver | None = None,
    trusted: ssl.SSLContext | None = None,
    now: Callable[[], float] = time.time,
    proxy: EgressProxy | None = None,
) -> AsyncIterator[Pool]:
    made = Pool(rules, now=now, names=names, trusted=trusted, proxy=proxy)
    try:
        yield made
        await made.none_in_use()
    finally:
        await made.close()


class End(Enum):
    CLOSE = auto()
    RESET = auto()
    WAIT = auto()
    """Until the client closes."""


@dataclass
class Replies:
    """A conversation of one request: reads it, answers `raw`, and ends. `closed`: the client closed first."""

    raw: bytes
    end: End = End.WAIT
    requests: list[bytes] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"x-warm-up" in (request := await read_request(reader)):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        self.requests.append(request)
        writer.write(self.raw)
        await writer.drain()
        try:
            await finish(self.end, reader, writer)
        finally:  # a client that leaves data unread resets the connection
            self.closed.set()


async def finish(end: End, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if end is End.WAIT:
        await reader.read()
    elif end is End.RESET:
        reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as twin:
        twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def replying(raw: bytes, end: End = End.WAIT) -> AsyncIterator[tuple[HostileReceiver, Replies]]:
    replies = Replies(raw, end)
    async with HostileReceiver(replies) as receiver:
        yield receiver, replies


@asynccontextmanager
async def ticker(every: float = 0.005) -> AsyncIterator[list[float]]:
    """How late the event loop was each time, in seconds."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(every)
            late.append(time.perf_counter() - before - every)

    task = asyncio.create_task(tick())
    try:
        yield late
    finally:
        task.cancel()

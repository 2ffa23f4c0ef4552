"""Receivers of webhooks: a real HTTP server that records, and a raw one that a test makes misbehave."""

from __future__ import annotations

import asyncio
import inspect
import json
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.support.waiting import Facts


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came: `query` raw, without `?`; header names as sent; `at` in monotonic seconds."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    at: float

    def header(self, name: str) -> str | None:
        """The first value of a header, its name in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer; with `release` only after that event is set (a slow receiver without a clock)."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    release: asyncio.Event | None = None


Script = int | Answer | Callable[[Received], "int | Answer | Awaitable[int | Answer]"]


class Receiver:
    """Answers 200 to everything, unless scripted; `async with`, or start() and stop() (same port again)."""

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.requests: list[Received] = []
        self.port = port
        self._host, self._tls = host, tls
        self._facts = Facts()
        self._once: dict[str, deque[Script]] = defaultdict(deque)
        self._always: dict[str, Script] = {}
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def url(self, path: str = "") -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}{path}"

    def answer(self, path: str, *scripts: Script) -> None:
        """The next requests for `path` get these, one each and in order; later ones the usual answer."""
        self._once[path].extend(scripts)

    def always(self, path: str, script: Script) -> None:
        """The usual answer for `path`, 200 until said otherwise."""
        self._always[path] = script

    @property
    def listening(self) -> bool:
        return self._runner is not None

    @property
    def connections(self) -> int:
        """Open ones."""
        server = self._runner.server if self._runner is not None else None
        return 0 if server is None else len(server.connections)

    def at(self, path: str) -> list[Received]:
        return [request for request in self.requests if request.path == path]

    async def wait_for(
        self, wanted: int | Callable[[list[Received]], bool], timeout: float = 15.0, path: str | None = None
    ) -> list[Received]:
        """Waits for `wanted` requests or more, or until a predicate on them holds; with `path` on those.

        Returns the requests; AssertionError with the paths received after `timeout` seconds.
        """

        def seen() -> list[Received]:
            return self.requests if path is None else self.at(path)

        def enough() -> bool:
            return len(seen()) >= wanted if isinstance(wanted, int) else wanted(seen())

        await self._facts.wait_for(enough, timeout, lambda: f"received {[r.path for r in self.requests]}")
        return list(seen())

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port, ssl_context=self._tls, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        at = time.monotonic()
        path, _, query = request.raw_path.partition("?")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers]
        body = await request.content.read()
        received = Received(request.method, path, query, headers, body, at)
        self.requests.append(received)
        await self._facts.changed()
        answer = await self._decide(received)
        if answer.release is not None:
            await answer.release.wait()
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def _decide(self, received: Received) -> Answer:
        scripts = self._once.get(received.path)
        script = scripts.popleft() if scripts else self._always.get(received.path, 200)
        decided = script(received) if callable(script) else script
        answer = await decided if inspect.isawaitable(decided) else decided
        return Answer(status=answer) if isinstance(answer, int) else answer


Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class HostileReceiver:
    """A raw TCP server: each connection is given to the test's coroutine, then closed. Counts connections."""

    def __init__(self, conversation: Conversation, *, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.port = 0
        self._conversation, self._tls = conversation, tls
        self._facts = Facts()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def url(self, path: str = "") -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}{path}"

    async def wait_for_connections(self, count: int, timeout: float = 15.0) -> None:
        await self._facts.wait_for(
            lambda: self.connections >= count, timeout, lambda: f"{self.connections} connections"
        )

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._talk(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await self._facts.changed()
        # A client that gives up on such a receiver is what most tests want to see.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await self._conversation(reader, writer)
            finally:
                writer.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """One request off the wire, head and body (by content-length), for conversations that answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")),
        0,
    )
    return head + await reader.readexactly(length)

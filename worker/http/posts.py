"""POSTs without a task (ports.Posts): a kept connection, a small body, a plain 2xx. Anything else goes on in a task.

One call begins it, a second writes it, and the bytes that come back end it in a third: no coroutine, future, timer or
parser is made for it. That is 100,000 of the 500,000 instructions of a delivery.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import cache
from typing import Any

from worker.delivery.ports import PostEnd
from worker.domain.request.build import Request
from worker.domain.verdict import Answered, Result
from worker.http.aiohttp_internals import Origin, Protocol
from worker.http.connections import Connections
from worker.http.deadlines import Deadlines, Line
from worker.http.exchange import LONGEST_HEADER_BYTES, PIECE_BYTES, head_of, headers_with_credentials
from worker.http.plain_answer import plain_status
from worker.http.refused_connects import RefusedConnects

log = logging.getLogger(__name__)

ROW = 24
"""Requests that are written together, one system call after the other (decision 5): with each written when it was made,
the kernel took from the processor's caches what makes the next one, and a delivery cost a sixth more. Longer rows gain
nothing: of 24 the first waits a third of a millisecond, if none between them takes a task."""

taken = cache(Answered)
"""A 2xx: there are a hundred of them, each made once."""


class Post:
    """One POST that was begun on a kept connection (ports.Post), and hears what comes back on it."""

    __slots__ = ("_end", "_line", "_posts", "deadline", "head", "origin", "protocol", "request", "timeout")

    def __init__(
        self,
        posts: "Posts",
        request: Request,
        head: bytes,
        origin: Origin,
        protocol: Protocol,
        timeout: float,
        deadline: float,
        line: Line,
        end: PostEnd,
    ) -> None:
        self._posts = posts
        self._line = line
        self._end = end
        self.request = request
        self.head = head
        self.origin = origin
        self.protocol = protocol
        self.timeout = timeout
        self.deadline = deadline

    def heard(self, data: bytes) -> bool:
        """The first bytes of its answer. False: they are for aiohttp's parser, with all that follows."""
        said, status = self.protocol.said
        if data != said and (status := self._read(data)) == 0:
            self.go_on()
            return False
        self._line.remove(self)
        self.protocol.post = None
        self._posts.answered(self)
        self._end.answered(taken(status))
        return True

    def _read(self, data: bytes) -> int:
        """The status; 0: the answer is not plain."""
        status = plain_status(data) or 0
        if status:
            self.protocol.said = data, status
        return status

    def lost(self) -> None:
        """The connection is about to be closed."""
        self.go_on()

    def expired(self) -> None:
        self._left()

    def go_on(self) -> None:
        self._line.remove(self)
        self._left()

    def _left(self) -> None:
        self.protocol.post = None
        self.protocol.expect_answer(LONGEST_HEADER_BYTES)
        self._end.goes_on(self._posts.rest(self))


class Posts:
    """Begins them. `rest`: what is to be awaited of one that goes on."""

    def __init__(
        self,
        connections: Connections,
        origin: Callable[[str], Origin],
        refused: RefusedConnects,
        rest: Callable[[Post], Coroutine[Any, Any, Result]],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connections = connections
        self._origin = origin
        self._refused = refused
        self._deadlines = Deadlines(self._loop)
        self._unwritten: list[tuple[asyncio.Transport, bytes]] = []
        self.rest = rest

    def begin(self, request: Request, timeout: float, end: PostEnd) -> Post | None:
        target, body = request.target, request.body
        if request.tls is not None or target.path is None or len(body) > PIECE_BYTES:
            return None
        try:
            origin = self._origin(target.origin)
            head = head_of(target.path, origin.host, headers_with_credentials(request), len(body))
        except ValueError:
            return None
        whole = head + body  # before a connection is taken, which a fault would keep
        protocol = self._connections.take(origin)
        if protocol is None or protocol.transport is None:
            return None
        line = self._deadlines.line(timeout)
        post = Post(self, request, head, origin, protocol, timeout, self._loop.time() + timeout, line, end)
        line.add(post)
        protocol.post = post
        self._unwritten.append((protocol.transport, whole))
        if len(self._unwritten) >= ROW:
            self.write_begun()
        return post

    def write_begun(self) -> None:
        """See ports.Posts."""
        begun, self._unwritten = self._unwritten, []
        for transport, whole in begun:
            try:
                transport.write(whole)
            except Exception:
                # A fault of ours or of the loop's. Cut, it goes on as one whose receiver had closed the connection; one
                # that cannot be cut either keeps no other of the row from being written.
                log.exception("a request could not be written")
                with suppress(Exception):
                    transport.abort()

    def answered(self, post: Post) -> None:
        self._refused.answered(post.origin)
        self._connections.done(post.origin, post.protocol)

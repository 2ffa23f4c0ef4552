"""One POST over a pool of kept connections (ports.Sender)."""

import asyncio
import email.utils
import os
import ssl
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver

from worker.basics.printable import printable
from worker.domain.request.build import Request
from worker.domain.target import Target
from worker.domain.verdict import HONOURS_RETRY_AFTER, Answered, Failure, Result, Unanswered
from worker.http.aiohttp_internals import Connection, HttpProcessingError, Origin, origin_of
from worker.http.connections import Connections
from worker.http.contexts import Contexts
from worker.http.egress import EgressPolicy, GuardedResolver, egress_refusal, guarded_socket_factory
from worker.http.exchange import Answer, answered, exchange, head_of, headers_with_credentials
from worker.http.posts import Post, Posts, taken
from worker.http.proxy import EgressProxy
from worker.http.refused_connects import RefusedConnects
from worker.http.trust import context_for
from worker.http.tunnel import Tunnels

KEEP_ALIVE_SECONDS = 75.0
"""Longer than most receivers keep a connection (nginx: 75, Node: 5), so that it is they who close it."""

DNS_CACHE_SECONDS = 10

MOST_ORIGINS = 16_384
"""Whose form for aiohttp is kept: making one takes as long as all else that a POST costs here."""


MOST_OF_A_HOST = 255
"""Characters of a redirect's host that are shown: DNS has no longer ones (RFC 1035, 2.3.4)."""


MOST_OF_A_TYPE = 100
"""Characters of an answer's content type that are kept."""


class Sender:
    """The HTTP client of all deliveries; made and used in one event loop.

    `jitter` (0..1) spreads the waits before a refused connect is tried again. `names` resolves hosts and `trusted`
    holds the certificate authorities; None: the system's. `ca_file` names more, for webhooks with a client certificate.
    `proxy` is the operator's, None: every connect is direct.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        jitter: float = 0.2,
        now: Callable[[], float] = time.time,
        *,
        names: AbstractResolver | None = None,
        trusted: ssl.SSLContext | None = None,
        ca_file: str = "",
        proxy: EgressProxy | None = None,
    ) -> None:
        self._now = now
        self._loop = asyncio.get_running_loop()
        self._resolver = GuardedResolver(policy, names or aiohttp.DefaultResolver())
        self._connector = Connections(
            Tunnels(proxy, policy) if proxy is not None else None,
            limit=0,  # the lanes bound what is in flight
            resolver=self._resolver,
            ttl_dns_cache=DNS_CACHE_SECONDS,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            socket_factory=guarded_socket_factory(policy),
            ssl=trusted or True,
        )
        self._origin = lru_cache(maxsize=MOST_ORIGINS)(partial(origin_of, loop=self._loop))
        self._contexts = Contexts(partial(context_for, ca_file=ca_file))
        self._refused = RefusedConnects(self._connected, jitter)
        self.posts = Posts(self._connector, self._origin, self._refused, self.rest)

    async def close(self) -> None:
        await self._connector.close()
        await self._resolver.close()

    async def send(self, request: Request, timeout: float) -> Result:
        deadline = self._loop.time() + timeout
        return await self._result(self._answer(request, deadline), request, timeout, deadline)

    async def rest(self, post: Post) -> Result:
        """The result of one that was begun without a task."""
        return await self._result(self._answer_to(post), post.request, post.timeout, post.deadline)

    async def _result(
        self, coming: Coroutine[Any, Any, Answer], request: Request, timeout: float, deadline: float
    ) -> Result:
        try:
            answer = await coming
        except TimeoutError:
            return Unanswered(Failure.TIMEOUT, f"no answer within {timeout:g} s")
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            error.__traceback__ = None  # its frames hold it, and the body, until the collector comes
            return unanswered(error, request.target)
        status = answer.message.code
        if 200 <= status < 300:
            await answer.drain(deadline)
            return taken(status)
        return await self._failed(answer, status, request.target, deadline)

    async def _failed(self, answer: Answer, status: int, target: Target, deadline: float) -> Answered:
        """With what people want to read of it."""
        headers, begun = answer.message.headers, bytearray()
        await answer.drain(deadline, begun)
        return Answered(
            status,
            self._retry_after(answer) if status in HONOURS_RETRY_AFTER else None,
            moved_to(headers.get(hdrs.LOCATION), target) if 300 <= status < 400 else "",
            text=begun.decode(errors="replace"),
            content_type=printable(headers.get(hdrs.CONTENT_TYPE, ""))[:MOST_OF_A_TYPE],
        )

    async def _answer(self, request: Request, deadline: float) -> Answer:
        """The answer's head."""
        path = request.target.path
        if path is None:
            raise ValueError("not an HTTP URL")
        origin = self._origin(request.target.origin)
        if request.tls is not None:
            context = await self._contexts.of(request.tls)
            origin = origin_of(request.target.origin, self._loop, context)
        head = head_of(path, origin.host, headers_with_credentials(request), len(request.body))
        kept = self._kept(origin, head, request.body, deadline)
        answer = await self._exchanged(origin, head, request.body, deadline, kept)
        self._refused.answered(origin)
        return answer

    async def _answer_to(self, post: Post) -> Answer:
        written = self._connector.connection(post.origin, post.protocol)
        kept = answered(written, post.deadline)
        answer = await self._exchanged(post.origin, post.head, post.request.body, post.deadline, kept)
        self._refused.answered(post.origin)
        return answer

    async def _kept(self, origin: Origin, head: bytes, body: bytes, deadline: float) -> Answer | None:
        """None: there is no idle connection."""
        kept = await self._connector.kept(origin)
        return None if kept is None else await exchange(kept, head, body, deadline)

    async def _exchanged(
        self, origin: Origin, head: bytes, body: bytes, deadline: float, kept: Coroutine[Any, Any, Answer | None]
    ) -> Answer:
        """A stale or refused connection is tried again: nothing was delivered on it."""
        with suppress(*_CUT):  # the receiver had closed the kept connection (RFC 9112, 9.3.1)
            if (answer := await kept) is not None:
                return answer
        connection = await self._refused.connection(origin, deadline)
        return await exchange(connection, head, body, deadline)

    async def _connected(self, origin: Origin, deadline: float) -> Connection:
        async with asyncio.timeout_at(deadline):
            return await self._connector.fresh(origin, deadline)

    def _retry_after(self, answer: Answer) -> float | None:
        text = answer.message.headers.get(hdrs.RETRY_AFTER)
        return None if text is None else retry_after(text, self._now())


def moved_to(location: str | None, target: Target) -> str:
    """The host, and the port if it is given, of a `Location` (RFC 9110, 10.2.2); "" if it is the target's own, or none.

    Nothing else of it: a path or a query may hold a secret.
    """
    try:
        parts = urlsplit(location or "")
        port = parts.port
    except ValueError:
        return ""
    host = parts.hostname or ""
    secure = (parts.scheme or target.origin.partition(":")[0]) == "https"
    if not host or (host, port or (443 if secure else 80)) == target.place:
        return ""
    shown = f"[{host}]" if ":" in host else host
    return printable(shown if port is None else f"{shown}:{port}")[:MOST_OF_A_HOST]


def retry_after(text: str, now: float) -> float | None:
    """Seconds to wait by a `Retry-After` field (RFC 9110, 10.2.3: seconds or an HTTP date); None: unreadable."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        date = email.utils.parsedate_to_datetime(text)
        return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now)
    except (ValueError, OverflowError):
        return None


_CUT = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectionResetError)


def unanswered(error: Exception, target: Target) -> Unanswered:
    """Library errors, named in our own words: theirs may hold URLs with credentials."""
    refused = egress_refusal(error)
    if refused is not None:
        return Unanswered(Failure.REFUSED, str(refused.refusal))
    if isinstance(error, ValueError) and not isinstance(error, ssl.SSLError):
        return Unanswered(Failure.REFUSED, "the HTTP client cannot use the webhook's URL or headers")
    host = target.host
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Unanswered(Failure.DNS, f"{host} does not resolve: {_reason(error)}")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Unanswered(Failure.TLS, f"TLS with {host} failed: {_reason(error)}")
        case aiohttp.ClientOSError(__cause__=ssl.SSLError() as alert):  # with TLS 1.3 it comes after the handshake
            return Unanswered(Failure.TLS, f"TLS with {host} failed: {_reason(alert)}")
        case aiohttp.ClientProxyConnectionError():
            return Unanswered(Failure.PROXY, str(error.os_error))
        case aiohttp.ClientConnectorError():
            number = error.errno or 0  # below 0 are getaddrinfo's own
            reason = os.strerror(number) if number > 0 else _reason(error)
            return Unanswered(Failure.CONNECT, f"connecting to {host} failed: {reason}")
        case HttpProcessingError():
            return Unanswered(Failure.CONNECT, f"{host} answered with what is not HTTP, or with too many headers")
    return Unanswered(Failure.CONNECT, f"{host} closed the connection before it answered")


def _reason(error: Exception) -> str:
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return str(getattr(inner, "strerror", None) or inner)[:200]

"""One POST over a pool of kept connections (ports.Sender)."""

import asyncio
import email.utils
import os
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC
from functools import lru_cache
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractResolver
from multidict import istr
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_delay,
    wait_exponential,
    wait_random_exponential,
)
from yarl import URL

from worker.domain.request import Request
from worker.domain.verdict import HONOURS_RETRY_AFTER, Answered, Failure, Result, Unanswered
from worker.http.body import payload_of
from worker.http.connections import CONNECTION_USE, ConnectionUse, Connector
from worker.http.egress import EgressPolicy, GuardedResolver, egress_refusal, guarded_socket_factory

KEEP_ALIVE_SECONDS = 75.0
"""Longer than most receivers keep a connection (nginx: 75, Node: 5), so that it is they who close it."""

DNS_CACHE_SECONDS = 10
DRAIN_BYTES = 64 * 1024
DRAIN_SECONDS = 1.0
LONGEST_HEADER_BYTES = 16 * 1024
REFUSED_CONNECT_SECONDS = 2.0
"""How long a refused connect is tried again within one attempt: a receiver's restart often takes less."""


class Sender:
    """The HTTP client of all deliveries; made and used in one event loop.

    `jitter` (0..1) spreads the waits before a refused connect is tried again. `names` resolves hosts and `trusted`
    holds the certificate authorities; None: the system's.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        jitter: float = 0.2,
        now: Callable[[], float] = time.time,
        *,
        names: AbstractResolver | None = None,
        trusted: ssl.SSLContext | None = None,
    ) -> None:
        self._now = now
        self._resolver = GuardedResolver(policy, names or aiohttp.DefaultResolver())
        self._session = aiohttp.ClientSession(
            connector=Connector(
                limit=0,  # the lanes bound what is in flight
                resolver=self._resolver,
                ttl_dns_cache=DNS_CACHE_SECONDS,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                socket_factory=guarded_socket_factory(policy),
                ssl=trusted or True,
            ),
            request_class=_Request,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # one deadline, ours, for all of it
            auto_decompress=False,  # the answer is never used, so a gzip bomb stays packed
            max_line_size=LONGEST_HEADER_BYTES,
            max_field_size=LONGEST_HEADER_BYTES,
            trust_env=False,
        )
        self._again = AsyncRetrying(
            retry=retry_if_exception(_may_connect_later),
            wait=_jittered(jitter),
            reraise=True,
        )

    async def close(self) -> None:
        await self._session.close()
        await self._resolver.close()

    async def send(self, request: Request, timeout: float) -> Result:
        try:
            async with asyncio.timeout(timeout) as deadline:
                response = await self._answer(request, timeout)
        except TimeoutError:
            return Unanswered(Failure.TIMEOUT, f"no answer within {timeout:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _unanswered(error, request.url)
        await _drain(response, deadline.when())
        return Answered(response.status, self._retry_after(response))

    async def _answer(self, request: Request, timeout: float) -> aiohttp.ClientResponse:
        """The answer's head. A stale or refused connection is tried again: nothing was delivered on it."""
        use = ConnectionUse()
        try:
            return await self._post(request, use)
        except _CUT as error:
            # The receiver had closed the kept connection (RFC 9112, 9.3.1); on a new one it is the receiver's answer.
            if not (use.reused or _may_connect_later(error)):
                raise
        # Only now, so that a healthy delivery does not pay for the retrying. The first try is immediate; a copy,
        # because tenacity keeps the state of a call in the object. It ends before the deadline: a refused connection
        # must not be told of as a timeout.
        stop = stop_after_delay(min(REFUSED_CONNECT_SECONDS, timeout / 2))
        return await self._again.copy(stop=stop)(self._post, request, ConnectionUse(fresh_only=True))

    async def _post(self, request: Request, use: ConnectionUse) -> aiohttp.ClientResponse:
        CONNECTION_USE.set(use)
        url, authorization = _target(request.url)
        headers = request.headers
        if authorization is not None and not any(name.lower() == "authorization" for name in headers):
            headers = {**headers, "Authorization": authorization}
        return await self._session.post(url, data=payload_of(request.body), headers=headers, allow_redirects=False)

    def _retry_after(self, response: aiohttp.ClientResponse) -> float | None:
        if response.status not in HONOURS_RETRY_AFTER:
            return None
        text = response.headers.get(hdrs.RETRY_AFTER)
        return None if text is None else retry_after(text, self._now())


class _Request(aiohttp.ClientRequest):
    """Without the headers that aiohttp adds: `skip_auto_headers` copies and sorts them in each POST."""

    DEFAULT_HEADERS: dict[istr, str] = {}  # noqa: RUF012 - so declared by aiohttp, and never changed


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


async def _drain(response: aiohttp.ClientResponse, deadline: float | None) -> None:
    """Read the answer's body within bounds, so that its connection can be used again; else close it.

    `deadline`: the attempt's, on the event loop's clock.
    """
    if response.content.is_eof():
        response.release()
        return
    soon = asyncio.get_running_loop().time() + DRAIN_SECONDS
    left = DRAIN_BYTES
    try:
        async with asyncio.timeout_at(soon if deadline is None else min(soon, deadline)):
            while left > 0 and (chunk := await response.content.readany()):
                left -= len(chunk)
    except (TimeoutError, asyncio.CancelledError, aiohttp.ClientError, OSError):
        pass  # the status has arrived, and only that counts, at the drain deadline too
    finally:
        if response.content.is_eof():
            response.release()
        else:
            response.close()


_CUT = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectionResetError)


def _may_connect_later(error: BaseException) -> bool:
    """Nobody listens at the address (yet): nothing was sent, so trying again repeats nothing."""
    lasting = (aiohttp.ClientConnectorDNSError, aiohttp.ClientSSLError)
    return (
        isinstance(error, aiohttp.ClientConnectorError)
        and not isinstance(error, lasting)
        and egress_refusal(error) is None
    )


def _jittered(jitter: float) -> Callable[[RetryCallState], float]:
    wait = wait_exponential(multiplier=0.1, max=0.5)
    spread = wait_random_exponential(multiplier=0.1, max=0.5)
    return lambda state: (1 - jitter) * wait(state) + jitter * spread(state)


_SENDABLE = re.compile(r"https?://[\w.~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII)  # RFC 3986's characters


@lru_cache(maxsize=16384)
def _target(url: str) -> tuple[URL, str | None]:
    """The URL without its credentials, and those as `Authorization` (RFC 7617). Raises ValueError.

    A URL that can be sent as it is keeps its bytes (yarl would turn `%2F` of a signed query into `/`).
    """
    parsed = URL(url, encoded=_SENDABLE.fullmatch(url) is not None)
    if parsed.scheme not in ("http", "https"):
        raise ValueError("not an HTTP URL")
    if parsed.raw_user is None and parsed.raw_password is None:
        return parsed, None
    pair = f"{parsed.user or ''}:{parsed.password or ''}".encode()
    return parsed.with_user(None), "Basic " + b64encode(pair).decode()


def _unanswered(error: Exception, url: str) -> Unanswered:
    """Library errors, named in our own words: theirs may hold URLs with credentials."""
    refused = egress_refusal(error)
    if refused is not None:
        return Unanswered(Failure.REFUSED, refused.reason)
    if isinstance(error, ValueError) and not isinstance(error, ssl.SSLError):
        return Unanswered(Failure.REFUSED, "the HTTP client cannot use the webhook's URL or headers")
    host = urlsplit(url).hostname
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Unanswered(Failure.DNS, f"{host} does not resolve: {_reason(error)}")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Unanswered(Failure.TLS, f"TLS with {host} failed: {_reason(error)}")
        case aiohttp.ClientConnectorError():
            reason = os.strerror(error.errno) if error.errno else _reason(error)
            return Unanswered(Failure.CONNECT, f"connecting to {host} failed: {reason}")
        case aiohttp.ClientResponseError():
            return Unanswered(Failure.CONNECT, f"{host} answered with what is not HTTP, or with too many headers")
    return Unanswered(Failure.CONNECT, f"{host} closed the connection before it answered")


def _reason(error: Exception) -> str:
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return str(getattr(inner, "strerror", None) or inner)[:200]

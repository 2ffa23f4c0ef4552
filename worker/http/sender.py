"""One POST over a pool of kept connections (ports.Sender)."""

import asyncio
import email.utils
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import lru_cache

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
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
from worker.http.body import large_body
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
    """The HTTP client of all deliveries. `jitter` (0..1) spreads the waits before a refused connect is tried again."""

    def __init__(self, policy: EgressPolicy, jitter: float = 0.2, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._resolver = GuardedResolver(policy, aiohttp.DefaultResolver())
        self._connector = _Connector(
            limit=0,  # the lanes bound what is in flight
            resolver=self._resolver,
            ttl_dns_cache=DNS_CACHE_SECONDS,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            socket_factory=guarded_socket_factory(policy),
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # one deadline, ours, for all of it
            auto_decompress=False,  # the answer is never used, so a gzip bomb stays packed
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            max_line_size=LONGEST_HEADER_BYTES,
            max_field_size=LONGEST_HEADER_BYTES,
            trust_env=False,
        )
        self._again = AsyncRetrying(
            retry=retry_if_exception(_may_connect_later),
            wait=_jittered(jitter),
            stop=stop_after_delay(REFUSED_CONNECT_SECONDS),
            reraise=True,
        )

    async def close(self) -> None:
        await self._session.close()
        await self._resolver.close()

    async def send(self, request: Request, timeout: float) -> Result:
        try:
            async with asyncio.timeout(timeout):
                return await self._send(request)
        except TimeoutError:
            return Unanswered(Failure.TIMEOUT, f"no answer within {timeout:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _unanswered(error, request.url)

    async def _send(self, request: Request) -> Result:
        try:
            return await self._post(request)
        except _CUT as error:
            if _may_connect_later(error):
                # Only now, so that a healthy delivery does not pay for the retrying.
                return await self._again(self._post, request)
            if not _REUSED.get():
                raise
            # The receiver had closed the kept connection (RFC 9112, 9.3.1): once more, on another.
            return await self._post(request)

    async def _post(self, request: Request) -> Answered:
        _REUSED.set(False)
        url, headers = _target(request.url), request.headers
        if url.raw_user is not None:
            url, headers = _with_basic_auth(url, headers)
        response = await self._session.post(url, data=large_body(request.body), headers=headers, allow_redirects=False)
        answer = Answered(response.status, self._retry_after(response))
        await _drain(response)
        return answer

    def _retry_after(self, response: aiohttp.ClientResponse) -> float | None:
        text = response.headers.get("Retry-After")
        if text is None or response.status not in HONOURS_RETRY_AFTER:
            return None
        return retry_after(text, self._now())


def retry_after(text: str, now: float) -> float | None:
    """Seconds to wait by a `Retry-After` field (RFC 9110, 10.2.3: seconds or an HTTP date); None: unreadable."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read the answer's body within bounds, so that its connection can be used again; else close it."""
    if response.content.at_eof():
        response.release()
        return
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            left = DRAIN_BYTES
            while left > 0 and (chunk := await response.content.readany()):
                left -= len(chunk)
    except (TimeoutError, aiohttp.ClientError, OSError):
        response.close()
        return
    if response.content.at_eof():
        response.release()
    else:
        response.close()


_CUT = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


def _may_connect_later(error: BaseException) -> bool:
    """Nobody listens at the address (yet): nothing was sent, so trying again repeats nothing."""
    lasting = (aiohttp.ClientConnectorDNSError, aiohttp.ClientSSLError)
    return (
        isinstance(error, aiohttp.ClientConnectorError)
        and not isinstance(error, lasting)
        and egress_refusal(error) is None
    )


_REUSED: ContextVar[bool] = ContextVar("reused", default=False)
"""Whether the connection of this task's POST had carried another one before."""


class _Connector(aiohttp.TCPConnector):
    """Notes which connections are used again. aiohttp's own tracing tells it too, at 15 us a request."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        protocol = connection.protocol
        assert protocol is not None
        _REUSED.set(getattr(protocol, "carried_a_request", False))
        protocol.carried_a_request = True  # type: ignore[attr-defined]
        return connection


def _jittered(jitter: float) -> Callable[[RetryCallState], float]:
    wait = wait_exponential(multiplier=0.1, max=1)
    spread = wait_random_exponential(multiplier=0.1, max=1)
    return lambda state: (1 - jitter) * wait(state) + jitter * spread(state)


@lru_cache(maxsize=16384)
def _target(url: str) -> URL:
    return URL(url)


def _with_basic_auth(url: URL, headers: Mapping[str, str]) -> tuple[URL, Mapping[str, str]]:
    """The URL without its credentials, which go into `Authorization` unless the webhook sets that itself."""
    pair = f"{url.user or ''}:{url.password or ''}".encode()
    if not any(name.lower() == "authorization" for name in headers):
        headers = {**headers, "Authorization": "Basic " + b64encode(pair).decode()}
    return url.with_user(None), headers


def _unanswered(error: Exception, url: str) -> Unanswered:
    """Library errors, named in our own words: theirs may hold URLs with credentials."""
    host = _target(url).host if not isinstance(error, aiohttp.InvalidURL) else None
    refused = egress_refusal(error)
    match error:
        case _ if refused is not None:
            return Unanswered(Failure.REFUSED, refused.reason)
        case aiohttp.InvalidURL():
            return Unanswered(Failure.REFUSED, "the HTTP client cannot use the webhook's URL")
        case aiohttp.ClientConnectorDNSError():
            return Unanswered(Failure.DNS, f"{host} does not resolve: {error.os_error}")
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return Unanswered(Failure.TLS, f"TLS with {host} failed: {_reason(error)}")
        case aiohttp.ClientConnectorError():
            return Unanswered(Failure.CONNECT, f"connecting to {host} failed: {_reason(error)}")
        case aiohttp.ClientResponseError():
            return Unanswered(Failure.CONNECT, f"{host} answered something that is not HTTP")
    return Unanswered(Failure.CONNECT, f"{host} closed the connection before it answered")


def _reason(error: Exception) -> str:
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return str(getattr(inner, "strerror", None) or inner)[:200]

"""One POST for a test, on a connection of its own: unlike a delivery's, its answer is wanted."""

import asyncio
import ssl
import time
from collections.abc import Callable

import aiohttp

from worker.domain.event import InvalidEvent
from worker.domain.request.build import Request
from worker.domain.request.not_sendable import NotSendable
from worker.domain.target import BadUrl
from worker.domain.webhook import Webhook
from worker.domain.webhook_test import WebhookTest, request_of_test
from worker.http.aiohttp_internals import TUNNEL_SHARE, Pool
from worker.http.egress import EgressPolicy, GuardedResolver, guarded_socket_factory
from worker.http.exchange import DRAIN_SECONDS, headers_with_credentials
from worker.http.proxy import EgressProxy
from worker.http.sender import unanswered
from worker.http.trust import context_for
from worker.http.tunnel import Tunnels

KEPT_BYTES = 1024
"""Of the answer's body."""


class WebhookTester:
    """Sends test events under the egress rules. `timeout` in seconds, for webhooks without one of their own.

    `proxy`, `trusted` and `ca_file` as for Sender.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        timeout: float,
        proxy: EgressProxy | None = None,
        trusted: ssl.SSLContext | None = None,
        ca_file: str = "",
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._tunnels = Tunnels(proxy, policy) if proxy is not None else None
        self._trusted = trusted or True
        self._ca_file = ca_file
        self._timeout = timeout
        self._now = now
        self._monotonic = monotonic

    async def send(self, webhook: Webhook, event: bytes) -> WebhookTest:
        """One attempt with an event's bytes, whether the webhook is enabled or not. Never raises."""
        try:
            request = request_of_test(webhook, event, self._now())
        except (InvalidEvent, BadUrl, NotSendable) as error:
            return WebhookTest(None, 0.0, error=str(error))
        seconds = webhook.timeout(self._timeout)
        started = self._monotonic()
        try:
            async with asyncio.timeout(seconds):
                status, body = await self._post(request, seconds)
        except TimeoutError:
            return self._unanswered(started, f"no answer within {seconds:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return self._unanswered(started, unanswered(error, request.target).error)
        return WebhookTest(status, self._milliseconds(started), body)

    def _unanswered(self, started: float, error: str) -> WebhookTest:
        return WebhookTest(None, self._milliseconds(started), error=error)

    def _milliseconds(self, started: float) -> float:
        return 1000 * (self._monotonic() - started)

    async def _post(self, request: Request, seconds: float) -> tuple[int, bytes]:
        url = request.target.sent
        if url is None:
            raise ValueError("not an HTTP URL")
        headers = headers_with_credentials(request)
        resolver = GuardedResolver(self._policy, aiohttp.DefaultResolver())
        context = self._trusted
        if request.tls is not None:
            context = await asyncio.to_thread(context_for, request.tls, self._ca_file)
        guard = guarded_socket_factory(self._policy)
        connector = Pool(self._tunnels, resolver=resolver, socket_factory=guard, ssl=context)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TUNNEL_SHARE * seconds)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
                ) as session,
                session.post(url, data=request.body, headers=headers, allow_redirects=False) as response,
            ):
                return response.status, await _first_bytes(response)
        finally:
            await resolver.close()


async def _first_bytes(response: aiohttp.ClientResponse) -> bytes:
    """Within DRAIN_SECONDS, as in a delivery: the status has arrived, so what becomes of the body changes nothing."""
    found = b""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while len(found) < KEPT_BYTES and (chunk := await response.content.readany()):
                found += chunk
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass
    return found[:KEPT_BYTES]

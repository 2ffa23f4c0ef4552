"""Whether receivers can be connected to, as a delivery would: DNS, egress rules, TCP, TLS. Nothing is sent."""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

import aiohappyeyeballs
import aiohttp
from aiohttp.abc import AbstractResolver

from worker.domain.target import BadUrl, is_literal, target_of
from worker.domain.webhook import Tls, Webhook
from worker.http.egress import EgressPolicy, EgressRefused, GuardedResolver, Remedy
from worker.http.proxy import EgressProxy
from worker.http.trust import context_for
from worker.http.tunnel import ProxyFault, TunnelFailed, Tunnels, connected

AT_ONCE = 20
SECONDS = 5.0
TUNNEL_SECONDS = 4.5
"""For a tunnel through the proxy: a slow one must not pass for a receiver's timeout."""

LONGEST_SECONDS = 30.0
"""For all of them: a person waits for the answer."""

NEXT_SECONDS = 0.25
"""Until the next address is tried beside one that is silent: aiohttp's own, which the sender has (RFC 8305)."""

MOST = 500
"""Receivers (host and port) that are looked at."""

Failure = Literal["egress", "dns", "connect", "tls", "timeout", "proxy"]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where connections go to; many webhooks can share one. With certificates of a webhook's own where it has them."""

    host: str
    port: int
    tls: bool
    client_certificate: str = field(default="", repr=False)
    ca: str = field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of one place. `lookup` is the time of the DNS answer in seconds, None: it needed none."""

    failure: Failure | None = None
    error: str = ""
    lookup: float | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """`unseen` places were too many, or not done in time."""

    probes: dict[Place, Probe]
    unseen: int


def place_of(url: str) -> Place | None:
    """`url` as it is stored. None: no delivery could go there."""
    try:
        sent = target_of(url).sent
    except BadUrl:
        return None
    if sent is None or not sent.raw_host or not sent.port:
        return None
    return Place(sent.raw_host, sent.port, sent.scheme == "https")


def place_of_webhook(webhook: Webhook) -> Place | None:
    """None: no delivery could go there."""
    place = place_of(webhook.url)
    if place is None or not place.tls:
        return place
    return replace(place, client_certificate=webhook.client_certificate or "", ca=webhook.ca or "")


async def reach(
    places: Iterable[Place],
    policy: EgressPolicy,
    *,
    names: AbstractResolver | None = None,
    trusted: ssl.SSLContext | None = None,
    ca_file: str = "",
    proxy: EgressProxy | None = None,
) -> Reach:
    """Connects to each place once, as a delivery would, and sends nothing.

    `names` resolves hosts, `trusted` holds the certificate authorities; None: the system's. `ca_file`, `proxy`: as for
    Sender.
    """
    wanted = sorted(set(places))
    resolver = GuardedResolver(policy, names or aiohttp.DefaultResolver())
    context = trusted or ssl.create_default_context()
    way = _Way(policy, resolver, context, ca_file, Tunnels(proxy, policy) if proxy is not None else None)
    waiting = iter(wanted[:MOST])
    probes: dict[Place, Probe] = {}

    async def work() -> None:
        for place in waiting:
            probes[place] = await _probe(place, way)

    tasks = [asyncio.create_task(work()) for _ in range(min(AT_ONCE, len(wanted)))]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=LONGEST_SECONDS)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await resolver.close()
    for error in ended:
        if isinstance(error, Exception):
            raise error
    return Reach(probes, len(wanted) - len(probes))


@dataclass(frozen=True, slots=True)
class _Way:
    """How receivers are reached from here."""

    policy: EgressPolicy
    resolver: AbstractResolver
    context: ssl.SSLContext
    ca_file: str
    tunnels: Tunnels | None

    async def context_of(self, place: Place) -> ssl.SSLContext | None:
        """Raises OSError, ValueError for what is no certificate."""
        if not (place.client_certificate or place.ca):
            return self.context if place.tls else None
        return await asyncio.to_thread(
            context_for, Tls(place.client_certificate or None, place.ca or None), self.ca_file
        )

    def tunnels_to(self, place: Place) -> Tunnels | None:
        carried = self.tunnels is not None and self.tunnels.proxy.carries(place.host, place.port)
        return self.tunnels if carried else None

    def left_to_proxy(self, place: Place) -> bool:
        return self.tunnels is not None and self.tunnels.proxy.resolves_name(place.host, place.port)


async def proxy_problem(proxy: EgressProxy) -> str | None:
    """Why the proxy itself cannot be connected to; None: it can. Whether it opens tunnels, a receiver's probe tells."""
    try:
        async with asyncio.timeout(SECONDS):
            taken = await connected(proxy.address)
    except TimeoutError:
        return f"no connection within {SECONDS:g} s; see EGRESS_PROXY"
    except ProxyFault as error:
        return f"{error}; see EGRESS_PROXY"
    taken.close()
    return None


async def _probe(place: Place, way: _Way) -> Probe:
    lookup: float | None = None
    try:
        async with asyncio.timeout(SECONDS):
            if is_literal(place.host):
                refusal = way.policy.refusal(place.host)
                if refusal is not None:
                    return Probe("egress", refusal.without(Remedy.ALLOW))
                addresses = [place.host]
            elif way.left_to_proxy(place):
                addresses = [place.host]
            else:
                started = time.monotonic()
                found = await way.resolver.resolve(place.host, place.port, socket.AF_UNSPEC)
                lookup, addresses = time.monotonic() - started, [one["host"] for one in found]
            return await _connect(place, addresses, way, lookup)
    except TimeoutError:
        return Probe("timeout", f"no connection within {SECONDS:g} s", lookup)
    except EgressRefused as error:
        return Probe("egress", error.refusal.without(Remedy.ALLOW))
    except (OSError, UnicodeError) as error:
        return Probe("dns", _in_words(error))


async def _connect(place: Place, addresses: list[str], way: _Way, lookup: float | None) -> Probe:
    """Over the first address that takes it, as the sender does."""
    if not addresses:
        return Probe("dns", "the name has no address", lookup)
    try:
        context = await way.context_of(place)
    except (OSError, ValueError):
        return Probe("tls", "the webhook's client certificate or ca cannot be used", lookup)
    try:
        taken = await _taken(place, addresses, way)
        _, writer = await asyncio.open_connection(
            sock=taken, ssl=context, server_hostname=place.host if place.tls else None
        )
    except ssl.SSLError as error:
        return Probe("tls", _in_words(error), lookup)
    except ProxyFault as error:
        return Probe("proxy", str(error), lookup)
    except OSError as error:
        number = error.errno or 0  # below 0 are getaddrinfo's own
        return Probe("connect", os.strerror(number) if number > 0 else _in_words(error), lookup)
    writer.transport.abort()  # nothing was sent: there is nothing to close politely
    return Probe(lookup=lookup)


async def _taken(place: Place, addresses: list[str], way: _Way) -> socket.socket:
    """Through the proxy the addresses are asked for one after another, as there, too."""
    tunnels = way.tunnels_to(place)
    if tunnels is None:
        addressed = [_addressed(address, place.port) for address in addresses]
        return await aiohappyeyeballs.start_connection(addressed, happy_eyeballs_delay=NEXT_SECONDS)
    for address in addresses[:-1]:
        with suppress(TunnelFailed):
            return await tunnels.open(address, place.port, TUNNEL_SECONDS)
    return await tunnels.open(addresses[-1], place.port, TUNNEL_SECONDS)


def _addressed(address: str, port: int) -> aiohappyeyeballs.AddrInfoType:
    """As getaddrinfo gives it."""
    six = ":" in address
    where = (address, port, 0, 0) if six else (address, port)
    return socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where


def _in_words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:200]

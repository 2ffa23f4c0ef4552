"""A socket to a receiver through the operator's proxy: connect to the proxy, ask it to CONNECT, read its answer."""

import asyncio
import os
import re
import socket
from base64 import b64encode

import aiohappyeyeballs

from worker.basics.address import Address
from worker.domain.target import is_literal
from worker.http.egress import EgressPolicy, EgressRefused
from worker.http.proxy import EgressProxy

NEXT_SECONDS = 0.25
"""Until the proxy's next address is tried beside one that is silent (RFC 8305)."""

LONGEST_HEAD_BYTES = 16 * 1024

FAULTS_OF_THE_PROXY = frozenset({401, 407, 502, 503, 504})
"""It does not know us (401 is tinyproxy's), or cannot go on. Trade-off: many proxies answer 502 to 504 for a receiver
that is down, too; its deliveries are kept until they expire instead of running out of attempts."""

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
_END = re.compile(rb"\r?\n\r?\n")


class TunnelFailed(OSError):
    """The proxy opened no tunnel. The text carries no credentials."""


class ProxyFault(TunnelFailed):
    """No receiver is to blame for it."""


class ProxyUnreachable(ProxyFault):
    """Nobody can be connected to at the proxy's address (yet): a restart often takes less than a second."""


class TunnelRefused(TunnelFailed):
    """The proxy works, and opens no tunnel to this address: its own rules, or no way there."""


class Tunnels:
    """Opens tunnels through one proxy, to addresses that the egress rules let pass."""

    def __init__(self, proxy: EgressProxy, policy: EgressPolicy) -> None:
        self.proxy = proxy
        self._policy = policy
        self._shown = f"the proxy {proxy.address.server}"

    async def open(self, host: str, port: int, seconds: float | None) -> socket.socket:
        """A connected socket whose next bytes are the receiver's. `host`: an address, or a name for the proxy.

        Raises EgressRefused before anything is connected to, ProxyFault (also when it takes longer than `seconds`) and
        TunnelRefused.
        """
        if is_literal(host) or not self.proxy.resolves:
            refusal = self._policy.refusal(host)
            if refusal is not None:
                raise EgressRefused(refusal)
        try:
            async with asyncio.timeout(seconds):
                return await self._opened(host, port)
        except TimeoutError:
            raise ProxyFault(f"{self._shown} opened no tunnel within {seconds:.3g} s") from None

    async def _opened(self, host: str, port: int) -> socket.socket:
        taken = await connected(self.proxy.address)
        try:
            await self._connect(taken, host, port)
        except BaseException:  # cancelled too: nobody else has the socket
            taken.close()
            raise
        return taken

    async def _connect(self, taken: socket.socket, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(taken, self._request(host, port))
            status, rest = await _answer(taken)
        except OSError as error:
            raise ProxyFault(f"{self._shown} cut the connection at CONNECT: {_in_words(error)}") from error
        except ValueError as error:
            raise ProxyFault(f"{self._shown} answered CONNECT with {error}") from None
        if status in FAULTS_OF_THE_PROXY:
            raise ProxyFault(f"{self._shown} answered {status} to CONNECT")
        if not 200 <= status < 300:
            raise TunnelRefused(f"{self._shown} answered {status} to CONNECT")
        if rest:  # a receiver never speaks first: it would be taken for the answer to the POST
            raise ProxyFault(f"{self._shown} sent more than its answer to CONNECT")

    def _request(self, host: str, port: int) -> bytes:
        """RFC 9110, 9.3.6. A zone means nothing to another machine."""
        bare = host.partition("%")[0]
        place = f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
        address = self.proxy.address
        if address.user is not None:
            pair = f"{address.user}:{address.password or ''}".encode()
            lines.append(f"Proxy-Authorization: Basic {b64encode(pair).decode()}")
        return "\r\n".join((*lines, "\r\n")).encode()


async def connected(proxy: Address) -> socket.socket:
    """A socket to the proxy itself. Raises ProxyFault."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ProxyFault(f"the proxy {proxy.server} does not resolve: {_in_words(error)}") from error
    try:
        return await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=NEXT_SECONDS, loop=loop)
    except OSError as error:
        raise ProxyUnreachable(f"the proxy {proxy.server} cannot be connected to: {_in_words(error)}") from error


async def _answer(taken: socket.socket) -> tuple[int, bytes]:
    """The status of the final answer, and what came behind its head. Raises OSError, ValueError when it is not HTTP."""
    loop, seen = asyncio.get_running_loop(), b""
    while True:
        while (end := _END.search(seen)) is not None:
            status = _STATUS.match(seen)
            if status is None:
                raise ValueError("what is not HTTP")
            seen = seen[end.end() :]
            if int(status[1]) >= 200:
                return int(status[1]), seen
        if len(seen) > LONGEST_HEAD_BYTES:
            raise ValueError("too long a head")
        piece = await loop.sock_recv(taken, 4096)
        if not piece:
            raise ConnectionResetError("it closed it")
        seen += piece


def _in_words(error: Exception) -> str:
    number = getattr(error, "errno", None) or 0  # below 0 are getaddrinfo's own
    return os.strerror(number) if number > 0 else str(getattr(error, "strerror", None) or error)[:200]

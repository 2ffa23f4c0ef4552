"""What the egress guard's tests share: fake DNS, a session that records its sockets, bare receivers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from worker.http.egress import EgressPolicy, GuardedResolver, guarded_socket_factory, system_addresses

DEFAULT = EgressPolicy()


def policy(*allow: str, deny: Sequence[str] = ()) -> EgressPolicy:
    return EgressPolicy(tuple(map(ip_network, allow)), tuple(map(ip_network, deny)))


@dataclass
class FakeDNS(AbstractResolver):
    """Answers every name with `answer` (the system's answer when None), after `scripted` ones are used up."""

    answer: list[str] | None = None
    scripted: list[list[str]] = field(default_factory=list)
    closed: bool = False

    async def addresses(self, host: str) -> Sequence[str]:
        if self.scripted:
            return self.scripted.pop(0)
        return await system_addresses(host) if self.answer is None else self.answer

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in await self.addresses(host)
        ]

    async def close(self) -> None:
        self.closed = True


@dataclass
class Client:
    session: aiohttp.ClientSession
    sockets: list[str]
    """The address of every socket that the guard made."""

    async def post(self, url: str) -> int:
        async with self.session.post(url, allow_redirects=False) as response:
            return response.status


@asynccontextmanager
async def guarded_session(
    rules: EgressPolicy, names: AbstractResolver, guard_names: bool = True
) -> AsyncIterator[Client]:
    make_socket, sockets = guarded_socket_factory(rules), []

    def recording(addr_info: aiohttp.AddrInfoType) -> socket.socket:
        made = make_socket(addr_info)
        sockets.append(str(addr_info[4][0]))
        return made

    resolver = GuardedResolver(rules, names) if guard_names else names
    connector = aiohttp.TCPConnector(socket_factory=recording, resolver=resolver, use_dns_cache=False)
    async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
        yield Client(session, sockets)


@dataclass
class Receiver:
    port: int
    accepted: list[str]
    """The local address of every connection accepted."""


@asynccontextmanager
async def receiver(*hosts: str, answer: Callable[[], bytes] | None = None) -> AsyncIterator[Receiver]:
    """A bare HTTP server on the same free port of every host; counts connections, not requests."""
    accepted: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(writer.get_extra_info("sockname")[0])
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer() if answer else b"HTTP/1.1 204 No Content\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()

    servers = [await asyncio.start_server(serve, hosts[0], 0)]
    port = servers[0].sockets[0].getsockname()[1]
    servers += [await asyncio.start_server(serve, host, port) for host in hosts[1:]]
    try:
        yield Receiver(port, accepted)
    finally:
        for server in servers:
            server.close()
            await server.wait_closed()

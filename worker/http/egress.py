"""The egress guard: which addresses a webhook may reach, decided on the address of every connect.

`GuardedResolver` takes refused addresses out of DNS answers, so that a mixed answer fails or succeeds by its
good addresses alone. `guarded_socket_factory` judges the final address of every connect: only it sees IP
literals, and it depends on nothing that an earlier lookup answered.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import AddrInfoType, SocketFactoryType
from aiohttp.abc import AbstractResolver, ResolveResult

from worker.domain.target import is_literal, parsed
from worker.http.proxy import EgressProxy

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""A host name's addresses; raises OSError when there are none."""

# The kind of address each network holds, first match wins. None: no refusal, an IPv4 address inside decides.
# Written out because `is_global` differs between Python patch releases: 3.11.7 calls fec0::1, 64:ff9b:1::1,
# ::8.8.8.8, 3fff::1 and multicast global. Where a registry lists single anycast services as reachable inside
# a refused block (192.0.0.9, 2001:1::1, AS112, ...), the block stays refused: no webhook lives there.
# Sources: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), the RFCs named, clouds' manuals.
METADATA = "cloud metadata"
_KINDS_IPV4 = (
    ("169.254.169.254/32", METADATA),  # AWS, GCP, Azure, and most others
    ("169.254.170.2/32", METADATA),  # AWS ECS task credentials
    ("169.254.170.23/32", METADATA),  # AWS EKS pod identity
    ("100.100.100.200/32", METADATA),  # Alibaba Cloud
    ("168.63.129.16/32", METADATA),  # Azure's host agent: a public address that never leaves the host
    ("192.0.0.192/32", METADATA),  # Oracle Cloud classic
    ("0.0.0.0/32", "unspecified"),  # RFC 1122 3.2.1.3; Linux connects it to the host itself
    ("0.0.0.0/8", "this-network"),  # RFC 791 3.2
    ("10.0.0.0/8", "private"),  # RFC 1918
    ("100.64.0.0/10", "shared (CGNAT)"),  # RFC 6598
    ("127.0.0.0/8", "loopback"),  # RFC 1122 3.2.1.3
    ("169.254.0.0/16", "link-local"),  # RFC 3927
    ("172.16.0.0/12", "private"),  # RFC 1918
    ("192.0.0.0/24", "IETF protocol"),  # RFC 6890 2.1
    ("192.0.2.0/24", "documentation"),  # RFC 5737
    ("192.88.99.0/24", "6to4 relay"),  # RFC 7526, deprecated
    ("192.168.0.0/16", "private"),  # RFC 1918
    ("198.18.0.0/15", "benchmarking"),  # RFC 2544
    ("198.51.100.0/24", "documentation"),  # RFC 5737
    ("203.0.113.0/24", "documentation"),  # RFC 5737
    ("224.0.0.0/4", "multicast"),  # RFC 5771
    ("255.255.255.255/32", "broadcast"),  # RFC 919
    ("240.0.0.0/4", "reserved"),  # RFC 1112 4
)
_KINDS_IPV6 = (
    ("::ffff:0:0/96", None),  # RFC 4291 2.5.5.2: the kernel connects by IPv4
    ("64:ff9b::/96", None),  # RFC 6052: a translator connects by IPv4
    ("fd00:ec2::254/128", METADATA),  # AWS
    ("fd00:ec2::23/128", METADATA),  # AWS EKS pod identity
    ("fd20:ce::254/128", METADATA),  # GCP
    ("::/128", "unspecified"),  # RFC 4291 2.5.2; Linux connects it to the host itself
    ("::1/128", "loopback"),  # RFC 4291 2.5.3
    ("::/96", "IPv4-compatible"),  # RFC 4291 2.5.5.1, deprecated
    ("64:ff9b:1::/48", "local-use NAT64"),  # RFC 8215
    ("100::/64", "discard-only"),  # RFC 6666
    ("2001::/32", "Teredo"),  # RFC 4380
    ("2001:2::/48", "benchmarking"),  # RFC 5180
    ("2001:10::/28", "ORCHID"),  # RFC 4843, deprecated
    ("2001:20::/28", "ORCHID"),  # RFC 7343
    ("2001::/23", "IETF protocol"),  # RFC 2928
    ("2001:db8::/32", "documentation"),  # RFC 3849
    ("2002::/16", "6to4"),  # RFC 3056, RFC 7526
    ("3fff::/20", "documentation"),  # RFC 9637
    ("5f00::/16", "segment routing"),  # RFC 9602
    ("fc00::/7", "unique local"),  # RFC 4193
    ("fe80::/10", "link-local"),  # RFC 4291 2.5.6
    ("fec0::/10", "site-local"),  # RFC 3879, deprecated
    ("ff00::/8", "multicast"),  # RFC 4291 2.7
    ("2000::/3", None),  # RFC 4291 2.4 and IANA's IPv6 address space: the only global unicast in use
    ("::/0", "reserved"),
)
_KINDS: dict[int, tuple[tuple[IPNetwork, str | None], ...]] = {
    4: tuple((IPv4Network(network), kind) for network, kind in _KINDS_IPV4),
    6: tuple((IPv6Network(network), kind) for network, kind in _KINDS_IPV6),
}


class Remedy(Enum):
    """What to do about a refusal."""

    ALLOW = "allow it with EGRESS_ALLOW"
    CHANGE_WEBHOOK = "change the webhook"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an address or a URL must not be connected to; None as remedy where the reason says it all."""

    reason: str
    remedy: Remedy | None = None

    def __str__(self) -> str:
        return self.reason if self.remedy is None else f"{self.reason}; {self.remedy.value}"

    def without(self, remedy: Remedy) -> str:
        """In words, for a reader who is told of this remedy anyway."""
        return self.reason if self.remedy is remedy else str(self)


class EgressRefused(OSError):
    """A connect that the policy refused, before a socket was made.

    The text never differs, `refusal` names the address: when all attempts fail aiohappyeyeballs raises one of
    their exceptions only if the texts are equal, else a plain OSError that joins them.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(errno.EACCES, "refused by the egress rules")
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What EGRESS_ALLOW and EGRESS_DENY say. Deny wins; what is not globally routable needs an allow.

    An IPv6 address that carries an IPv4 one passes only if both do. A NAT64 prefix of an operator's own
    (RFC 6052 2.2) looks like any global address: a network that has one names it in EGRESS_DENY.
    """

    allow: tuple[IPNetwork, ...] = ()
    deny: tuple[IPNetwork, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow", tuple(map(_as_connected, self.allow)))
        object.__setattr__(self, "deny", tuple(map(_as_connected, self.deny)))

    def refusal(self, address: str | IPAddress) -> Refusal | None:
        """None: this address may be connected to."""
        try:
            outer = ip_address(address)
        except ValueError:
            return Refusal(f"not an IP address in its usual form: {address!r:.80}")
        if isinstance(outer, IPv6Address) and outer.scope_id is not None:
            outer = IPv6Address(int(outer))
        faces = (*_embedded(outer), outer)
        for face in faces:
            if any(face in network for network in self.deny):
                return Refusal(f"address {_named(face, outer)} is named in EGRESS_DENY")
        for face in faces:
            kind = _kind(face)
            if kind is not None and not any(face in network for network in self.allow):
                remedy = Remedy.CHANGE_WEBHOOK if kind == METADATA else Remedy.ALLOW
                return Refusal(f"{kind} address {_named(face, outer)}", remedy)
        return None


def egress_refusal(exc: BaseException) -> EgressRefused | None:
    """The refusal that caused `exc` (a ClientConnectorError, its DNS variant, a retry's wrapper), or None.

    A group was refused only if each of its members was: one real connect failure makes it a connect failure.
    """
    if isinstance(exc, EgressRefused):
        return exc
    if isinstance(exc, BaseExceptionGroup):
        refusals = [egress_refusal(member) for member in exc.exceptions]
        return refusals[0] if None not in refusals else None
    return egress_refusal(exc.__cause__) if exc.__cause__ is not None else None


def guarded_socket_factory(policy: EgressPolicy) -> SocketFactoryType:
    """`TCPConnector(socket_factory=...)`: a socket for an address that passes, else EgressRefused."""

    def make_socket(addr_info: AddrInfoType) -> socket.socket:
        family, type_, proto, _, address = addr_info
        refusal = policy.refusal(address[0])
        if refusal is not None:
            raise EgressRefused(refusal)
        return socket.socket(family, type_, proto)

    return make_socket


class GuardedResolver(AbstractResolver):
    """`TCPConnector(resolver=...)`: an answer's permitted addresses; EgressRefused when all are refused.

    With the socket factory alone aiohttp reports the attempt that came last, so that a good address failing
    before a refused one looks like a refusal. The connector closes no resolver it was given: close this one,
    which closes `inner`.
    """

    def __init__(self, policy: EgressPolicy, inner: AbstractResolver) -> None:
        self._policy = policy
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = await self._inner.resolve(host, port, family)
        refusals = [self._policy.refusal(result["host"]) for result in answer]
        refused = _common_refusal(refusals)
        if refused is not None:
            raise EgressRefused(refused)
        return [result for result, refusal in zip(answer, refusals, strict=True) if refusal is None]

    async def close(self) -> None:
        await self._inner.close()


async def system_addresses(host: str) -> list[str]:
    """The operating system's answer, which reads `0x7f.1` as 127.0.0.1; raises OSError, UnicodeError."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


async def refuse_url(
    url: str, policy: EgressPolicy, resolve: Resolve = system_addresses, proxy: EgressProxy | None = None
) -> Refusal | None:
    """Why a delivery to this URL would be refused now, or None. Of the URL, only the host is ever repeated.

    A number that is no plain IPv4 address is refused, as aiohttp does; a name when all its addresses are. A
    name that has none now is not: the socket factory judges whatever it resolves to later. Nor is one that the proxy
    resolves.
    """
    target = parsed(url)
    host, port = target.place
    sent = target.sent
    if sent is None or not sent.raw_host:
        return Refusal("the URL has no host" if port and not host else "not a valid URL")
    host = sent.raw_host
    if is_literal(host):
        return policy.refusal(host)
    if proxy is not None and proxy.resolves_name(host, port):
        return None
    if host.endswith(".."):  # as aiohttp's connector does
        host = host.rstrip(".") + "."
    try:
        refusals = [policy.refusal(address) for address in await resolve(host)]
    except UnicodeError:
        return Refusal("the URL's host is not a valid name")
    except OSError:
        return None
    return _common_refusal(refusals)


def _common_refusal(refusals: Sequence[Refusal | None]) -> Refusal | None:
    """An answer's refusal: its first address's if every address has one."""
    return refusals[0] if refusals and None not in refusals else None


def _kind(address: IPAddress) -> str | None:
    return next((kind for network, kind in _KINDS[address.version] if address in network), None)


def _embedded(address: IPAddress) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that packets to this IPv6 address may end at, or come from."""
    if isinstance(address, IPv4Address):
        return ()
    if address.teredo is not None:
        return address.teredo
    inside = address.ipv4_mapped or address.sixtofour
    if inside is not None:
        return (inside,)
    number = int(address)
    # IPv4-compatible ::a.b.c.d (RFC 4291 2.5.5.1, not :: and ::1), NAT64 in its /96 form (RFC 6052 2.2).
    if 1 < number < 1 << 32 or number >> 32 == 0x64FF9B << 64 or number >> 80 == 0x64FF9B0001:
        return (IPv4Address(number & 0xFFFFFFFF),)
    return ()


def _as_connected(network: IPNetwork) -> IPNetwork:
    """An IPv4-mapped network as the IPv4 network it means, so that a rule written so still bites."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return ip_network((mapped, network.prefixlen - 96))


def _named(face: IPAddress, outer: IPAddress) -> str:
    return str(face) if face == outer else f"{face} (inside {outer})"

"""The operator's proxy on the way out (EGRESS_PROXY), and which receivers are reached without it (NO_PROXY)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from worker.basics.address import Address

_ENTRY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def proxy_address(text: str) -> Address:
    """EGRESS_PROXY: `http://user:password@host:port`. Raises ValueError, worded to follow "must be"."""
    address = Address.parse(text, ("http",))
    if address.port is None:
        raise ValueError("http://host:port, with the proxy's port")
    if address.path not in ("", "/") or address.options:
        raise ValueError("http://host:port, with nothing behind the port")
    return address


@dataclass(frozen=True, slots=True)
class _Exempt:
    """One entry of NO_PROXY. `port` None: every one. `network` for an address or a CIDR, else `name`."""

    name: str = ""
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None

    def covers(self, host: str, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is None:
            return host == self.name or host.endswith(f".{self.name}")
        try:
            return ip_address(host) in self.network
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class NoProxy:
    """NO_PROXY as curl and Go read it: what it covers is connected to without the proxy.

    | entry | covers |
    | --- | --- |
    | `example.com`, `.example.com`, `*.example.com` | the name and every name that ends in `.example.com` |
    | `10.1.2.3`, `fd00::1`, `[fd00::1]` | that address, where it stands in the URL itself |
    | `10.0.0.0/8`, `fd00::/8` | the addresses of the network, where they stand in the URL itself |
    | `example.com:8443`, `[fd00::1]:8443` | the same, on that port alone |
    | `*` | everything |

    An entry that is none of these covers nothing: the variable is shared with other programs.
    """

    entries: tuple[_Exempt, ...] = ()
    everything: bool = False

    @classmethod
    def of(cls, entries: Iterable[str]) -> "NoProxy":
        words = [word.lower() for entry in entries for word in re.split(r"[\s,]+", entry) if word]
        return cls(tuple(filter(None, map(_exempt, words))), "*" in words)

    def covers(self, host: str, port: int) -> bool:
        plain = host.lower().rstrip(".").partition("%")[0]
        return self.everything or any(entry.covers(plain, port) for entry in self.entries)


@dataclass(frozen=True, slots=True)
class EgressProxy:
    """An HTTP proxy that is asked for a tunnel (CONNECT, RFC 9110, 9.3.6) to each receiver.

    `resolves`: names are left to the proxy, and so the egress rules judge only the addresses that stand in URLs.
    """

    address: Address
    exempt: NoProxy = NoProxy()
    resolves: bool = False

    def carries(self, host: str, port: int) -> bool:
        """Whether connections to this host of a URL go through the proxy."""
        return not self.exempt.covers(host, port)

    def resolves_name(self, host: str, port: int) -> bool:
        """Whether the proxy is asked for the name itself. What may be an address in disguise is resolved here."""
        return self.resolves and not _may_be_address(host) and self.carries(host, port)


def _exempt(word: str) -> _Exempt | None:
    match = _ENTRY.fullmatch(word)
    name, port = (match["host"], match["port"]) if match else (word, None)  # an IPv6 address without brackets
    only = int(port) if port else None
    try:
        return _Exempt(network=ip_network(name.strip("[]"), strict=False), port=only)
    except ValueError:
        name = name.removeprefix("*").strip(".")
        return _Exempt(name, port=only) if match and name and not name.startswith("[") else None


def _may_be_address(host: str) -> bool:
    """Its last label is a number, which inet_aton(3) may read as an address (`0x7f.1`), or it is IPv6."""
    return ":" in host or _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None

"""Network policies: peers, ports, and networks as strictly as a server of 1.36 reads them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from tests.deploy.rules.forms import Manifest, port_range, requirements


def policy(manifest: Manifest) -> Iterator[str]:
    spec = manifest["spec"]
    for rule in [*spec["ingress"], *spec["egress"]]:
        for port in rule.get("ports") or []:
            if isinstance(port.get("port"), int):
                yield from port_range([port["port"]])
        for peer in rule.get("to", rule.get("from")) or []:
            yield from _peer(peer)


def _peer(peer: dict[str, Any]) -> Iterator[str]:
    if not peer or ("ipBlock" in peer and len(peer) > 1):
        yield f"a peer is ipBlock alone or selectors, not {sorted(peer)}"
    yield from requirements(peer)
    block = peer.get("ipBlock")
    if block is None:
        return
    outer = network(block["cidr"])
    inner = [(text, network(text)) for text in block.get("except") or []]
    yield from (f"{text} is no network" for text, found in [(block["cidr"], outer), *inner] if found is None)
    for text, found in inner:
        if found is not None and outer is not None and not _inside(found, outer):
            yield f"except {text} is not within {block['cidr']}"


def network(text: str) -> IPv4Network | IPv6Network | None:
    """None: leading zeros, bits beyond the prefix, no prefix, or IPv4 written as IPv6."""
    try:
        found = ip_network(text)
    except ValueError:
        return None
    mapped = isinstance(found, IPv6Network) and found.network_address.ipv4_mapped is not None
    return found if "/" in text and not mapped else None


def _inside(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner != outer and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner != outer and inner.subnet_of(outer)

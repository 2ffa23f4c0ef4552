"""Where a server of this process listens; `::` serves IPv6 and IPv4 both."""

import errno
import logging
import socket

from aiohttp import web

BOTH_FAMILIES, IPV4 = "::", "0.0.0.0"  # noqa: S104 - probes and Prometheus come from outside

_WITHOUT_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""Linux booted with `ipv6.disable=1`, a kernel built without it, containers whose namespace has no IPv6."""

log = logging.getLogger(__name__)


async def listen(runner: web.AppRunner, host: str, port: int) -> int:
    """Begins to answer there, and returns the port. Raises OSError when it is taken or the host is not ours."""
    site = web.SockSite(runner, _both(port)) if host == BOTH_FAMILIES else web.TCPSite(runner, host, port)
    await site.start()
    taken: int = runner.addresses[0][1]
    return taken


def _both(port: int) -> socket.socket:
    """One socket for both families: asyncio and uvloop make one for `::` that takes IPv6 alone (IPV6_V6ONLY).

    Trade-off: without IPv6 in the kernel it is IPv4 alone, so that one setting fits every cluster.
    """
    try:
        return socket.create_server((BOTH_FAMILIES, port), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError as error:
        if error.errno not in _WITHOUT_IPV6:
            raise
        log.warning("no IPv6 on this machine, listening on IPv4 alone", extra={"host": IPV4, "port": port})
    return socket.create_server((IPV4, port))

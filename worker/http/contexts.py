"""The TLS contexts of webhooks with certificates of their own, each made once."""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable

from worker.domain.webhook import Tls

MOST_CONTEXTS = 1024
"""Kept. One with the system's authorities takes 20 ms to make and about half a megabyte."""


class Contexts:
    """Makes them in threads. The same content is the same context, by which connections are kept (aiohttp's key)."""

    def __init__(self, make: Callable[[Tls], ssl.SSLContext]) -> None:
        self._make = make
        self._made: OrderedDict[Tls, asyncio.Future[ssl.SSLContext]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._made)

    async def of(self, tls: Tls) -> ssl.SSLContext:
        """Raises OSError (ssl.SSLError is one) and ValueError for what cannot be used."""
        making = self._made.get(tls)
        if making is None:
            making = self._made[tls] = asyncio.ensure_future(asyncio.to_thread(self._make, tls))
            making.add_done_callback(lambda done: self._forget_failed(tls, done))
            if len(self._made) > MOST_CONTEXTS:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(tls)
        return await asyncio.shield(making)  # others may wait for it, too

    def _forget_failed(self, tls: Tls, done: "asyncio.Future[ssl.SSLContext]") -> None:
        if (done.cancelled() or done.exception() is not None) and self._made.get(tls) is done:
            del self._made[tls]

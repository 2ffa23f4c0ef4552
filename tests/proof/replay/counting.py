"""A receiver that counts ids and keeps no bodies: for 100,000 deliveries and more."""

from __future__ import annotations

from collections import Counter
from typing import Self

from aiohttp import web


class CountingReceiver:
    """Answers 200. `first`: how often each `webhook-id` came, `replayed`: as a replay."""

    def __init__(self) -> None:
        self.first: Counter[str] = Counter()
        self.replayed: Counter[str] = Counter()
        self._runner: web.ServerRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._handle))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        await request.read()
        found = self.replayed if request.headers.get("webhook-replay") == "true" else self.first
        found[request.headers["webhook-id"]] += 1
        return web.Response()

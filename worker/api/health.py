"""`/livez`, `/readyz` and in `run` `/metrics`, on METRICS_PORT."""

from collections.abc import Callable
from functools import partial

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from worker.api.listening import listen


class HealthServer:
    """Liveness is that the event loop answers at all, never the broker's state; `not_ready` says why it is not ready.

    Without a registry there are no metrics.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry | None, not_ready: Callable[[], str | None]
    ) -> None:
        self._host = host
        self._port = port
        self._registry = registry
        self._not_ready = not_ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Begins to answer and returns the port. Raises OSError, naming the settings, when it is taken."""
        app = web.Application()
        if self._registry is not None:
            app.router.add_get("/metrics", partial(self._metrics, self._registry))
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            return await listen(self._runner, self._host, self._port)
        except OSError as error:
            raise OSError(f"METRICS_HOST and METRICS_PORT: cannot listen: {error.strerror or error}") from error

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @staticmethod
    async def _metrics(registry: CollectorRegistry, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = self._not_ready()
        return web.Response(text="ready\n") if reason is None else web.Response(status=503, text=reason + "\n")

"""/livez, /readyz and, with a registry, /metrics: for `run` and for `api`."""

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry

from worker.api.health import HealthServer
from worker.settings.settings import Settings

log = logging.getLogger(__name__)


async def serve_health(
    settings: Settings,
    registry: CollectorRegistry | None,
    not_ready: Callable[[], str | None],
    stack: AsyncExitStack,
) -> None:
    """Starts it, and leaves its end to `stack`. `not_ready` says why /readyz fails. Raises OSError: port taken."""
    health = HealthServer(settings.metrics_host, settings.metrics_port, registry, not_ready)
    stack.push_async_callback(health.close)
    port = await health.start()
    what = "health" if registry is None else "metrics and health"
    log.info("serving %s", what, extra={"host": settings.metrics_host, "port": port})

"""The history's parts: in `run`, which records it and may write it, and alone as `webhook-worker history-writer`."""

import asyncio
import logging
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from prometheus_client import CollectorRegistry
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from worker.broker.connection import Supervisor
from worker.broker.history import HistoryClient
from worker.broker.topology import Queue, history_queue
from worker.history.recording import Recording
from worker.history.writer import Writer
from worker.process.health import serve_health
from worker.process.history_store import store_of_history
from worker.process.lifecycle import Lifecycle
from worker.settings.settings import Settings
from worker.telemetry.history import RecordingMetrics, WriterMetrics

log = logging.getLogger(__name__)

FINISH_SECONDS = 2.0
"""At the end, for the last rows. RabbitMQ takes a batch within milliseconds, or is away."""

AFTER_FAULT_SECONDS = 30.0

Parts = Mapping[str, Callable[[], Awaitable[None]]]
"""What runs all the time, by name."""


class WorkersHistory:
    """What a worker has to do with history: a connection, the recording, and with HISTORY_WRITER the writing.

    `on_depth` hears how many batches wait in the queue.
    """

    def __init__(
        self,
        settings: Settings,
        queue: Queue,
        registry: CollectorRegistry,
        on_depth: Callable[[int], None],
        stack: AsyncExitStack,
    ) -> None:
        self._client = client = HistoryClient(queue, declares=settings.rabbitmq_declare)
        self._supervisor = Supervisor(settings.rabbitmq_uri, "evolution-webhook-worker history", client, random.uniform)
        metrics = RecordingMetrics(registry, lambda: self.recording.waiting)
        self.recording = Recording(
            secrets.token_hex(16),
            socket.gethostname(),
            client.send,
            metrics.recorded,
            failures_only=settings.history == "failures",
        )
        self._on_depth = on_depth
        self._writer = _writer(settings, client, registry, stack) if settings.history_writer else None

    def parts(self) -> Parts:
        found: dict[str, Callable[[], Awaitable[None]]] = {
            "history connection": self._supervisor.run,
            "history recording": self.recording.run,
            "history depth": lambda: self._client.watch_depth(self._on_depth),
        }
        if self._writer is not None:
            found |= {"history writing": self._writer.run, "history tidying": self._writer.tidy}
        return found

    async def finish(self) -> None:
        """The last rows."""
        await self.recording.finish(FINISH_SECONDS)


async def run_history_writer(settings: Settings) -> int:
    """Writes history until SIGTERM or SIGINT, with /livez, /readyz and /metrics. Returns the exit code.

    Raises OSError when the port is taken, StoreUnavailable without the database's driver.
    """
    life = Lifecycle()
    life.listen_for_signals()
    async with AsyncExitStack() as stack:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        client = HistoryClient(history_queue(settings.worker_queue_prefix), declares=settings.rabbitmq_declare)
        writer = _writer(settings, client, registry, stack)

        def missing() -> str | None:
            away = [
                *([] if client.connected else ["no connection to RabbitMQ"]),
                *([] if writer.ready else ["no database"]),
            ]
            return " and ".join(away) or None

        await serve_health(settings, registry, missing, stack)
        name = "evolution-webhook-worker history-writer"
        supervisor = Supervisor(settings.rabbitmq_uri, name, client, random.uniform)
        parts = {"connection": supervisor.run, "writing": writer.run, "tidying": writer.tidy}
        for part, run in parts.items():
            await stack.enter_async_context(life.running(part, run()))
        await life.stopping.wait()
    log.info("stopped")
    return 1 if life.failed else 0


async def insist(name: str, run: Callable[[], Awaitable[None]], ready: asyncio.Event) -> None:
    """Runs a part that deliveries do not need, once they are `ready`, and again after a fault of its own."""
    await ready.wait()
    while True:
        try:
            await run()
        except Exception:
            log.exception("%s has failed: this is a fault of ours; deliveries go on", name)
        await asyncio.sleep(AFTER_FAULT_SECONDS)


def _writer(settings: Settings, client: HistoryClient, registry: CollectorRegistry, stack: AsyncExitStack) -> Writer:
    store = store_of_history(settings)
    stack.push_async_callback(store.close)
    counts = WriterMetrics(registry, lambda: writer.behind)
    writer = Writer(store, client.open_inbox, counts, time.time)
    return writer

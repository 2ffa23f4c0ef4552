"""The history's parts: in `run`, which records it and may write it, and alone as `webhook-worker history-writer`."""

import asyncio
import logging
import random
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from worker.broker.connection import Supervisor
from worker.broker.history import HistoryClient
from worker.broker.topology import Queue, history_queue
from worker.history.pulses import InstancePulses
from worker.history.recording import Recording
from worker.history.store import HistoryStore
from worker.history.writer import Writer
from worker.process.health import serve_health
from worker.process.history_store import store_of_history
from worker.process.lifecycle import Lifecycle
from worker.settings.settings import Settings
from worker.stores.history.store import Store
from worker.telemetry.history import RecordingMetrics, WriterMetrics

log = logging.getLogger(__name__)

FINISH_SECONDS = 2.0
"""At the end, for the last rows. RabbitMQ takes a batch within milliseconds, or is away."""

AFTER_FAULT_SECONDS = 30.0

SHARE_BESIDE_DELIVERIES = 0.25
"""Of one processor, for writing in a process that delivers. SQLite's rows take 20 us each where thousands are written
together (so 12,000 a second), those of PostgreSQL 11 us; what comes faster waits in the queue for a quieter hour."""

Parts = Mapping[str, Callable[[], Coroutine[Any, Any, None]]]
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
        self._supervisor = _supervisor(settings, "history", client)
        metrics = RecordingMetrics(registry, lambda: self.recording.waiting)
        self.recording = Recording(
            secrets.token_hex(16),
            socket.gethostname(),
            client.send,
            metrics.recorded,
            failures_only=settings.history == "failures",
        )
        self.pulses = InstancePulses(client.send)
        self.silent_instances: Callable[[int], None] = metrics.silent.set
        self._on_depth = on_depth
        self.store, share = _store(settings, stack), SHARE_BESIDE_DELIVERIES
        self._writer = _Writing(settings, queue, self.store, registry, share) if settings.history_writer else None

    def parts(self) -> Parts:
        found: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "history connection": self._supervisor.run,
            "history recording": self.recording.run,
            "pulses": self.pulses.run,
            "history depth": lambda: self._client.watch_depth(self._on_depth),
        }
        if self._writer is not None:
            found |= {f"history {name}": run for name, run in self._writer.parts().items()}
        return found

    async def finish(self) -> None:
        """The last rows and pulses."""
        await asyncio.gather(self.recording.finish(FINISH_SECONDS), self.pulses.finish(FINISH_SECONDS))


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
        queue = history_queue(settings.worker_queue_prefix)
        writing = _Writing(settings, queue, _store(settings, stack), registry)
        await serve_health(settings, registry, writing.missing, stack)
        for part, run in writing.parts().items():
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


class _Writing:
    """The writer, on a connection of its own: during an alarm RabbitMQ does not read one that publishes, and acks on it
    would wait, so that more and more fills the disk."""

    def __init__(
        self, settings: Settings, queue: Queue, store: HistoryStore, registry: CollectorRegistry, share: float = 1.0
    ) -> None:
        self._client = client = HistoryClient(queue, declares=settings.rabbitmq_declare)
        self._supervisor = _supervisor(settings, "history-writer", client)
        counts = WriterMetrics(registry, lambda: self._writer.behind)
        self._writer = Writer(store, client.open_inbox, counts, time.time, share)

    def parts(self) -> Parts:
        return {
            "writer's connection": self._supervisor.run,
            "writing": self._writer.run,
            "tidying": self._writer.tidy,
        }

    def missing(self) -> str | None:
        """Why nothing is written now."""
        away = [
            *([] if self._client.connected else ["no connection to RabbitMQ"]),
            *([] if self._writer.ready else ["no database"]),
        ]
        return " and ".join(away) or None


def _store(settings: Settings, stack: AsyncExitStack) -> Store:
    store = store_of_history(settings)
    stack.push_async_callback(store.close)
    return store


def _supervisor(settings: Settings, name: str, client: HistoryClient) -> Supervisor:
    return Supervisor(settings.rabbitmq_uri, f"evolution-webhook-worker {name}", client, random.uniform)

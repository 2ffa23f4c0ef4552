"""The process's own affairs: background tasks, signals, garbage collection."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from worker.basics.tasks import end

log = logging.getLogger(__name__)


class Lifecycle:
    """From the start to the end of the process: `stopping` is set by a signal, or when a background task fails."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.failed = False

    def listen_for_signals(self) -> None:
        """SIGTERM and SIGINT begin the end; a second one ends the process at once with 128 + its number."""

        def on_signal(number: int) -> None:
            if self.stopping.is_set():
                log.warning("a second signal: ending at once; the broker redelivers what was under way")
                logging.shutdown()
                os._exit(128 + number)
            self.stopping.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, on_signal, number)

    @asynccontextmanager
    async def running(self, name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Runs `work` as a task for as long as the block lasts. When it fails, all ends: half a worker is worse."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            await end(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            log.critical("%s has failed: this is a fault of ours", task.get_name(), exc_info=fault)
            self.failed = True
            self.stopping.set()


SWITCH_SECONDS = 0.0005
"""For so long a thread that computes keeps the interpreter from the event loop; Python's own is ten times that. The
history's writer makes thousands of rows into statements in a few calls, a quarter of the time while it catches up."""


def let_deliveries_through() -> None:
    """Beside threads of the same process. Price: more switches, of which there is none while no thread computes."""
    sys.setswitchinterval(SWITCH_SECONDS)


def calm_garbage_collection() -> None:
    """Takes what start-up made out of garbage collection, and sets how much garbage in cycles may lie about.

    A delivery makes no cycles and pays nothing for a low bound; each channel and connection that RabbitMQ's client
    closes and each statement of the history does (decision 25).
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # CPython lets the old generation grow by a quarter of what the last full collection left
    gc.set_threshold(5_000, 3, 3)

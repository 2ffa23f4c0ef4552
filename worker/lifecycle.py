"""The process's own affairs: background tasks, signals, garbage collection."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

log = logging.getLogger(__name__)


@asynccontextmanager
async def running(name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` as a task for as long as the block lasts. Should it fail by itself, the process is ended by SIGTERM."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_report)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.critical("%s has failed: this is a fault of ours", task.get_name(), exc_info=task.exception())
        # Half a worker is worse than none: whoever supervises the process starts a whole one.
        os.kill(os.getpid(), signal.SIGTERM)


def listen_for_signals(stopping: asyncio.Event) -> None:
    """SIGTERM and SIGINT set `stopping`; a second one ends the process at once with 128 + its number."""

    def on_signal(number: int) -> None:
        if stopping.is_set():
            log.warning("a second signal: ending at once; the broker redelivers what was under way")
            logging.shutdown()
            os._exit(128 + number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)


def calm_garbage_collection() -> None:
    """What start-up made lives as long as the process: never look at it again, and look more rarely at the rest.

    Measured: 5 to 8 % of the CPU of a delivery.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)

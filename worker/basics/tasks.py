"""Tasks that belong to the worker and not to a connection."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

Failure = Callable[[BaseException], None]

log = logging.getLogger(__name__)

INSIST_SECONDS = 1.0


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel them until they have ended, whatever they raise.

    Once is not enough: when a channel closes meanwhile, aiormq takes our cancellation for its own and swallows it.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        ended, running = await asyncio.wait(running, timeout=INSIST_SECONDS)
        for task in ended:
            if not task.cancelled():
                task.exception()  # retrieved, so that asyncio does not log it as forgotten


class Tasks:
    """Running tasks: referenced until they end, so that none is collected or forgotten at shutdown."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(
        self,
        work: Coroutine[Any, Any, None],
        on_failure: Failure | None = None,
        on_cancelled: Callable[[], None] | None = None,
    ) -> None:
        """`on_failure` is called with what it raises, which only a fault of ours makes it do; `on_cancelled` when it
        was cancelled, be it before its first step."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        if on_failure is None and on_cancelled is None:
            task.add_done_callback(self._ended)
        else:
            task.add_done_callback(partial(self._ended, on_failure=on_failure, on_cancelled=on_cancelled))

    async def finished(self) -> None:
        """Waits until none is left."""
        while self._running:
            await asyncio.wait(self._running)

    async def end(self) -> None:
        """Cancels all of them, and waits until none is left."""
        while self._running:
            await end(*self._running)

    def __len__(self) -> int:
        return len(self._running)

    def _ended(
        self,
        task: asyncio.Task[None],
        on_failure: Failure | None = None,
        on_cancelled: Callable[[], None] | None = None,
    ) -> None:
        self._running.discard(task)
        if task.cancelled() and on_cancelled is not None:
            on_cancelled()
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            log.error("a task failed unexpectedly", exc_info=fault)
            if on_failure is not None:
                on_failure(fault)

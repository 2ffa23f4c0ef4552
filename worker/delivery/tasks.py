"""Tasks that belong to the worker and not to a connection."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

Failure = Callable[[BaseException], None]

log = logging.getLogger(__name__)


class Tasks:
    """Running tasks: referenced until they end, so that none is collected or forgotten at shutdown."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], on_failure: Failure | None = None) -> None:
        """`on_failure` is called with what it raises, which only a fault of ours makes it do."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended if on_failure is None else partial(self._ended, on_failure=on_failure))

    async def finished(self) -> None:
        """Waits until none is left."""
        while self._running:
            await asyncio.wait(self._running)

    def cancel(self) -> None:
        """Ask all of them to end; `finished` waits until they have."""
        for task in self._running:
            task.cancel()

    def __len__(self) -> int:
        return len(self._running)

    def _ended(self, task: asyncio.Task[None], on_failure: Failure | None = None) -> None:
        self._running.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is not None:
            log.error("a task failed unexpectedly", exc_info=fault)
            if on_failure is not None:
                on_failure(fault)

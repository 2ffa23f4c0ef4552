"""Tasks that belong to the worker and not to a connection."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Tasks:
    """Running tasks: referenced until they end, so that none is collected or forgotten at shutdown."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

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

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a task failed unexpectedly", exc_info=task.exception())

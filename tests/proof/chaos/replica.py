"""One worker process behind a proxy of its own, so that a fault can meet it alone."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Mapping

from tests.support.proxy import Proxy
from tests.support.worker import PROGRAM, Worker

SKEWED = (sys.executable, "-m", "tests.proof.chaos.skewed_clock")
FAULTS_OF_OURS = ('"level":"critical"', "failed unexpectedly", "Traceback", "was never retrieved")
"""What a worker says only when its own code is wrong, whatever the world does to it."""

HOLDING = (
    *("held_bytes", "in_flight", "waiting", "endpoints_open", "broker_connected", "consuming", "self_fault"),
    *("oldest_unconfirmed_publish_seconds", "publish_failures_total"),
)
"""Metrics that say why a worker still holds messages."""


class _Worker(Worker):
    """Remembers when it was killed, in monotonic seconds."""

    kills: list[float]

    async def kill(self) -> None:
        if self.running:
            self.kills.append(asyncio.get_running_loop().time())
        await super().kill()


class Replica:
    """`await start()` after each end of its process; the proxy lives on."""

    def __init__(self, proxy: Proxy, environment: Mapping[str, str], *, skewed: bool = False) -> None:
        self.proxy = proxy
        self._environment = {**environment, "RABBITMQ_URI": proxy.uri()}
        self.worker = _Worker(self._environment, program=SKEWED if skewed else PROGRAM)
        self.worker.kills = []

    def replacement(self) -> Replica:
        """Another process with the same settings, through the same proxy; not started."""
        return Replica(self.proxy, self._environment)

    async def start(self, *, ready: bool = True) -> None:
        await self.worker.start(ready=ready)

    async def end(self) -> int:
        """SIGTERM, and its exit code; of a worker that has ended by itself, too."""
        return await (self.worker.stop() if self.worker.running else self.worker.wait())

    async def kill_and_start(self, chance: random.Random, longest: float = 1.0) -> None:
        await self.worker.kill()
        await asyncio.sleep(chance.uniform(0, longest))
        await self.start()

    def command(self, *arguments: str) -> Worker:
        """`webhook-worker <arguments>` with the same settings, through the same proxy; not started."""
        return Worker(self._environment, arguments)

    async def holds(self) -> dict[str, float]:
        return {name: await self.worker.metric(name) for name in HOLDING}

    def complaints(self) -> list[str]:
        """Lines of its log that speak of a fault in the worker's own code."""
        return [line for line in self.worker.lines if any(word in line for word in FAULTS_OF_OURS)]

"""The producer: numbered events with confirms, at a steady pace and in bursts, through every fault."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from aiormq.exceptions import DeliveryError

from tests.proof.chaos.ledger import Issued, Ledger
from tests.proof.chaos.subscriptions import INSTANCES, KINDS
from tests.support.amqp import Amqp
from worker.broker.connection import BROKER_ERRORS, as_broker_errors

RECONNECT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Flow:
    """The steady flow: `batch` events together every `pace` seconds, `most` in all, for any of `instances`.

    The bound is for a run that waits long for a broker.
    """

    pace: float = 0.03
    batch: int = 1
    most: int = 600
    instances: tuple[str, ...] = INSTANCES


class Producer:
    """An event counts as confirmed only after its confirm, unreturned; what became of the others nobody can say."""

    def __init__(
        self, uri: str, exchange: str, ledger: Ledger, chance: random.Random, flow: Flow | None = None
    ) -> None:
        self._uri = uri
        self._exchange = exchange
        self._ledger = ledger
        self._random = chance
        self._steady = flow or Flow()
        self._amqp: Amqp | None = None
        self._connection = 0
        self._connecting = asyncio.Lock()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._idle = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. `pause` and `resume` hold it between two events."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self._flow()
            await asyncio.sleep(max(0.0, began + self._steady.pace - loop.time()))

    async def _flow(self) -> None:
        self._idle.set()
        await self._flowing.wait()
        self._idle.clear()
        if len(self._ledger.issued) < self._steady.most:
            instances = self._random.choices(self._steady.instances, k=self._steady.batch)
            await asyncio.gather(*(self.publish(instance, self._kind(instance)) for instance in instances))

    async def pause(self) -> None:
        self._flowing.clear()
        await self._idle.wait()

    def resume(self) -> None:
        self._flowing.set()

    async def burst(self, instance: str, count: int, kind: str = "messages.upsert") -> list[Issued]:
        return list(await asyncio.gather(*(self.publish(instance, kind) for _ in range(count))))

    async def publish(self, instance: str, kind: str) -> Issued:
        amqp = await self._connected()
        now = asyncio.get_running_loop().time
        issued = self._ledger.issue(instance, kind, now(), self._connection)
        try:
            with as_broker_errors():
                # Mandatory and with an id of its own: an event that reaches no queue counts as unconfirmed.
                await amqp.publish(self._exchange, kind, issued.body, message_id=f"event-{issued.number}")
        except DeliveryError:
            return issued  # returned (its queue is being deleted) or rejected
        except BROKER_ERRORS:
            self._lost(amqp)
        else:
            self._ledger.confirm(issued, now())
        return issued

    async def close(self) -> None:
        if self._amqp is not None:
            await close_quietly(self._amqp)

    def _kind(self, instance: str) -> str:
        # The global webhook's body names the instance's own URL, which `moves` changes.
        return self._random.choice(KINDS[:3] if instance == "moves" else KINDS)

    async def _connected(self) -> Amqp:
        async with self._connecting:
            while self._amqp is None:
                self._connection += 1
                self._amqp = await self._connect()
            return self._amqp

    async def _connect(self) -> Amqp | None:
        try:
            with as_broker_errors():
                return await Amqp.connect(self._uri)
        except BROKER_ERRORS:
            await asyncio.sleep(RECONNECT_SECONDS)
            return None

    def _lost(self, amqp: Amqp) -> None:
        if self._amqp is amqp:
            self._amqp = None


async def close_quietly(amqp: Amqp) -> None:
    """Whatever state its connection is in."""
    try:
        async with asyncio.timeout(5):
            with as_broker_errors():
                await amqp.close()
    except BROKER_ERRORS:
        return

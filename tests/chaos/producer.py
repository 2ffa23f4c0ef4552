"""The producer: numbered events with confirms, at a steady pace and in bursts, through every fault."""

from __future__ import annotations

import asyncio
import random

from aiormq.exceptions import DeliveryError

from tests.chaos.ledger import Issued, Ledger
from tests.chaos.subscriptions import INSTANCES, KINDS
from tests.support.amqp import Amqp
from worker.broker.connection import BROKER_ERRORS, as_broker_errors

PACE_SECONDS = 0.03
RECONNECT_SECONDS = 0.2
MOST_EVENTS = 600
"""Of the steady flow: a run that waits long for a broker does not grow without bound."""


class Producer:
    """An event counts as confirmed only after its confirm, unreturned; what became of the others nobody can say."""

    def __init__(self, uri: str, exchange: str, ledger: Ledger, chance: random.Random) -> None:
        self._uri = uri
        self._exchange = exchange
        self._ledger = ledger
        self._random = chance
        self._amqp: Amqp | None = None
        self._connecting = asyncio.Lock()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._idle = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. `pause` and `resume` hold it between two events."""
        while True:
            await self._flow()
            await asyncio.sleep(PACE_SECONDS)

    async def _flow(self) -> None:
        self._idle.set()
        await self._flowing.wait()
        self._idle.clear()
        if len(self._ledger.issued) < MOST_EVENTS:
            instance = self._random.choice(INSTANCES)
            await self.publish(instance, self._kind(instance))

    async def pause(self) -> None:
        self._flowing.clear()
        await self._idle.wait()

    def resume(self) -> None:
        self._flowing.set()

    async def burst(self, instance: str, count: int, kind: str = "messages.upsert") -> list[Issued]:
        return list(await asyncio.gather(*(self.publish(instance, kind) for _ in range(count))))

    async def publish(self, instance: str, kind: str) -> Issued:
        amqp = await self._connected()
        issued = self._ledger.issue(instance, kind)
        try:
            with as_broker_errors():
                # Mandatory and with an id of its own: an event that reaches no queue counts as unconfirmed.
                await amqp.publish(self._exchange, kind, issued.body, message_id=f"event-{issued.number}")
        except DeliveryError:
            return issued  # returned (its queue is being deleted) or rejected
        except BROKER_ERRORS:
            self._lost(amqp)
        else:
            self._ledger.confirmed.add(issued.number)
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

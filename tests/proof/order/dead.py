"""Ordered receivers that are dead for long, one or a thousand of them, beside fifty that are well.

`python -m tests.proof.order dead`. The healthy ones must go on as if nothing were, and the dead ones get everything in
order once they are back.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterable

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks, publish, webhooks
from tests.support.receiver import Received, Receiver
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.domain.webhook import Webhook

__all__ = ["publish", "webhooks"]

pytestmark = pytest.mark.timeout(900)

HEALTHY = 50
DEAD_SECONDS, PACE = 150.0, 20
"""Of one dead receiver: for so long, with so many events a second for all."""

THOUSAND, EACH = 1000, 3
LONGEST_WAIT = 5.0
"""Seconds from the publish to the delivery at a healthy receiver; on a machine that does other work, too."""

SETTINGS = {"ORDER": "true", "BREAKER_FAILURES": "2", "CACHE_TTL_SECONDS": "60", "ORDER_SIDINGS": str(THOUSAND)}


class Shops:
    """One webhook an instance, `shop-<n>`, each with one chat. Those whose number is in `dead` answer 503, or never."""

    def __init__(self, receiver: Receiver, publish: PublishEvents, count: int) -> None:
        self._publish = publish
        self.webhooks = [Webhook(f"shop-{number}", receiver.url(f"/{number}"), order="chat") for number in range(count)]
        for number in range(count):
            receiver.always(f"/{number}", self._answer)
        self.dead: frozenset[int] = frozenset()
        self.hangs = False
        self.back = asyncio.Event()
        self.published: dict[int, int] = defaultdict(int)
        self.arrived: dict[int, list[int]] = defaultdict(list)
        self.longest = 0.0

    async def _answer(self, received: Received) -> int:
        data = json.loads(received.body)["data"]
        shop, number = data["shop"], data["number"]
        if shop in self.dead:
            if not self.hangs:
                return 503
            await self.back.wait()
        if number not in self.arrived[shop]:
            self.arrived[shop].append(number)
        if shop < HEALTHY:
            self.longest = max(self.longest, time.time() - data["sent"])
        return 200

    async def say(self, shops: Iterable[int]) -> None:
        """One more message in each."""
        for shop in shops:
            number = self.published[shop] = self.published[shop] + 1
            data = {"key": {"remoteJid": "5511@s.whatsapp.net", "id": f"{shop}-{number}"}}
            more = {"shop": shop, "number": number, "sent": time.time()}
            body = {"event": "messages.upsert", "instance": f"shop-{shop}", "data": data | more}
            await self._publish(json.dumps(body).encode())

    async def all_arrived(self, shops: Iterable[int], seconds: float) -> None:
        """Each message, in the order in which they were said."""
        wanted = {shop: list(range(1, self.published[shop] + 1)) for shop in shops}

        async def missing() -> list[int]:
            return [shop for shop, numbers in wanted.items() if len(self.arrived[shop]) < len(numbers)]

        await eventually(missing, lambda found: not found, seconds, "all messages to arrive")
        assert {shop: self.arrived[shop] for shop in wanted} == wanted

    def revive(self) -> None:
        self.dead = frozenset()
        self.back.set()


async def _begun(worker: StartWorker, webhooks: PutWebhooks, shops: Shops) -> Worker:
    """All shops have had one message: their webhooks are known, their connections open."""
    await webhooks(*shops.webhooks)
    active = await worker(**SETTINGS)
    await active.wait_metric("ordered_active", 1, timeout=30.0)
    everybody = range(len(shops.webhooks))
    await shops.say(everybody)
    await shops.all_arrived(everybody, 60.0)
    shops.longest = 0.0
    return active


@pytest.mark.parametrize("hangs", [False, True], ids=["answers 503", "never answers"])
async def test_one_is_dead_for_minutes_beside_fifty_that_are_well(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, hangs: bool
) -> None:
    shops = Shops(receiver, publish, HEALTHY + 1)
    active = await _begun(worker, webhooks, shops)
    shops.dead, shops.hangs = frozenset({HEALTHY}), hangs
    until, turn = time.monotonic() + DEAD_SECONDS, 0
    while time.monotonic() < until:
        turn += 1
        began = time.monotonic()
        await shops.say([HEALTHY, *((turn * PACE + number) % HEALTHY for number in range(PACE - 1))])
        await asyncio.sleep(max(0.0, began + 1.0 - time.monotonic()))
    await shops.all_arrived(range(HEALTHY), 10.0)
    assert await active.metric("ordered_sidings") == 1
    print(f"{sum(shops.published.values())} events, {shops.longest:.2f} s at most at a healthy receiver")
    assert shops.longest < LONGEST_WAIT
    shops.revive()
    await shops.all_arrived([HEALTHY], 180.0)


async def test_a_thousand_are_dead_beside_fifty_that_are_well(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver
) -> None:
    shops = Shops(receiver, publish, HEALTHY + THOUSAND)
    active = await _begun(worker, webhooks, shops)
    dying = range(HEALTHY, HEALTHY + THOUSAND)
    shops.dead = frozenset(dying)
    for _ in range(EACH):
        await shops.say(dying)
    await active.wait_metric("ordered_sidings", THOUSAND, timeout=180.0)
    for _ in range(20):
        await shops.say(range(HEALTHY))
        await shops.say([HEALTHY + number * 37 % THOUSAND for number in range(HEALTHY)])
    await shops.all_arrived(range(HEALTHY), 30.0)
    print(f"{THOUSAND} sidings, {shops.longest:.2f} s at most at a healthy receiver")
    assert shops.longest < LONGEST_WAIT
    shops.revive()
    await shops.all_arrived(dying, 300.0)

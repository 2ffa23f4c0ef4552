"""Two lively minutes: workers, a broker, receivers good and bad, a Prometheus that watches, and what happens when."""

from __future__ import annotations

import asyncio
import random
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.picture.cast import CAST, INSTANCES, Receivers
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.local_process import free_port
from tests.support.prometheus import Prometheus
from tests.support.proxy import CONSUME, Proxy
from tests.support.worker import Worker
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "alerts.yaml"
SCRAPE_SECONDS = 1
EVENTS_A_SECOND = 120
TICK_SECONDS = 0.05
BURST = 6000
BURST_NAME = "burst"
LAST = 140.0
"""Seconds from the first event until the picture is taken, if nothing takes longer than it should."""

CALM_SECONDS = 15.0
"""At the least, between the last thing that happens and the picture."""

SETTINGS = {
    "EGRESS_ALLOW": "127.0.0.0/8",
    "METRICS_INSTANCES": "loja-1,slow",
    "WEBHOOK_REQUEST_TIMEOUT_MS": "2000",
    "WEBHOOK_RETRY_MAX_ATTEMPTS": "3",
    "BREAKER_OPEN_SECONDS": "5",
    "ORDER": "true",
    # So few that a burst waits in the queue for some seconds.
    "WORKER_CONCURRENCY": "24",
}


@dataclass(slots=True)
class Scene:
    """What runs. `began` and `ended` are Unix times; `moments` are (seconds after the beginning, what happened)."""

    broker: LocalBroker
    names: Names
    receivers: Receivers
    prometheus: Prometheus
    workers: dict[str, Worker]
    amqp: Amqp
    proxy: Proxy
    began: float = 0.0
    ended: float = 0.0
    published: int = 0
    moments: list[tuple[float, str]] = field(default_factory=list)
    _chance: random.Random = field(default_factory=lambda: random.Random(1))

    async def play(self) -> None:
        """From the first event to the picture."""
        await self._prepare_burst()
        self.began = time.time()
        flow = asyncio.create_task(self._flow())
        try:
            for at, act in self._script():
                await self._until(at)
                await act()
            await self._until(max(LAST, time.time() - self.began + CALM_SECONDS))
            self.ended = time.time()
        finally:
            flow.cancel()
            await asyncio.gather(flow, return_exceptions=True)

    def _script(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        return [(20, self._down), (45, self._up), (65, self._burst), (100, self._roll), (120, self._cut)]

    def _mark(self, what: str) -> None:
        self.moments.append((time.time() - self.began, what))

    async def _down(self) -> None:
        self._mark("a receiver fails")
        self.receivers.down = True

    async def _up(self) -> None:
        self._mark("the receiver is back")
        self.receivers.down = False

    async def _prepare_burst(self) -> None:
        """All of it in a queue that dead-letters into Evolution's exchange what it may not hold."""
        await self.amqp.declare_exchange(BURST_NAME)
        overflow = {"x-queue-type": "classic", "x-dead-letter-exchange": self.names.exchange}
        await self.amqp.declare_queue(BURST_NAME, bind=(BURST_NAME, "#"), arguments=overflow)
        for _ in range(BURST // 500):
            instances = [self._chance.choice(("loja-1", "loja-2", "loja-3")) for _ in range(500)]
            await self._publish(instances, BURST_NAME)

    async def _burst(self) -> None:
        """At the broker's speed, which no publisher on a busy machine has."""
        await asyncio.to_thread(self.broker.ctl, "set_policy", BURST_NAME, f"^{BURST_NAME}$", '{"max-length":0}')
        self._mark(f"{BURST:,} events at once")

    async def _roll(self) -> None:
        self._mark("rolling update")
        for old, new in (("worker-1", "worker-3"), ("worker-2", "worker-4")):
            await self.workers[new].start()
            assert await self.workers[old].stop() == 0

    async def _cut(self) -> None:
        self._mark("a connection is cut")
        (await self.proxy.link(CONSUME)).reset()

    async def _flow(self) -> None:
        """A steady flow, a little uneven."""
        weights = [one.weight for one in INSTANCES]
        due = time.monotonic()
        while True:
            count = round(EVENTS_A_SECOND * TICK_SECONDS * self._chance.uniform(0.5, 1.5))
            instances = [one.name for one in self._chance.choices(INSTANCES, weights, k=count)]
            await self._publish(instances, self.names.exchange)
            due += TICK_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _publish(self, instances: list[str], exchange: str) -> None:
        events = []
        for instance in instances:
            self.published += 1
            kind = self._chance.choice(("messages.upsert", "messages.upsert", "contacts.update", "presence.update"))
            events.append((kind, event(kind, instance, {"number": self.published, "text": "x" * 300})))
        await asyncio.gather(*(self.amqp.publish_event(exchange, kind, body) for kind, body in events))

    async def _until(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, self.began + seconds - time.time()))


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """All of it started, two workers consuming; taken down afterwards."""
    tag = secrets.token_hex(4)
    names = Names(prefix="webhooks", exchange=f"evolution-{tag}")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webhooks-picture-")))
        broker = LocalBroker()
        stack.push_async_callback(asyncio.to_thread, broker.close)
        await asyncio.to_thread(broker.start)
        receivers = await stack.enter_async_context(Receivers())
        await _fill(folder, receivers)
        proxy = await stack.enter_async_context(Proxy(broker.port))
        workers = {}
        for number in range(1, 5):
            uri = proxy.uri() if number == 3 else broker.uri
            workers[f"worker-{number}"] = worker = _worker(uri, names, folder)
            stack.push_async_callback(worker.kill)
        targets = {name: f"127.0.0.1:{worker.metrics_port}" for name, worker in workers.items()}
        prometheus = Prometheus(targets, rules=[RULES], interval=f"{SCRAPE_SECONDS}s")
        stack.push_async_callback(asyncio.to_thread, prometheus.close)
        await asyncio.to_thread(prometheus.start)
        await asyncio.gather(*(workers[name].start() for name in ("worker-1", "worker-2")))
        amqp = await stack.enter_async_context(await Amqp.connect(broker.uri))
        yield Scene(broker, names, receivers, prometheus, workers, amqp, proxy)


async def _fill(folder: Path, receivers: Receivers) -> None:
    store = SqlStore(f"sqlite:///{folder / 'webhooks.db'}", lambda: int(time.time() * 1000))
    await store.migrate()
    for one in CAST:
        url = receivers.url(one.path) if one.listens else f"http://127.0.0.1:{free_port()}/"
        await store.put(Webhook(one.instance, url, one.id, events=one.events))
    await store.close()


def _worker(uri: str, names: Names, folder: Path) -> Worker:
    store = f"sqlite:///{folder / 'webhooks.db'}"
    return Worker({**SETTINGS, **names.environment(), "RABBITMQ_URI": uri, "DATABASE_CONNECTION_URI": store})

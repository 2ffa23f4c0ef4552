"""Everything one run needs, built and taken down in one place; and what the faults and the ledger ask of it."""

from __future__ import annotations

import asyncio
import random
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from pathlib import Path

from tests.proof.chaos.database import Database
from tests.proof.chaos.history import Span, history, history_uri, told
from tests.proof.chaos.ledger import DeadLetter, Ledger, number_in
from tests.proof.chaos.plan import Plan
from tests.proof.chaos.producer import Flow, Producer, close_quietly
from tests.proof.chaos.receiver import LedgerReceiver
from tests.proof.chaos.replica import Replica
from tests.proof.chaos.subscriptions import CAST, GLOBAL, GLOBAL_SETTINGS, Subscription
from tests.support.amqp import Amqp, Names
from tests.support.dockerfile import memory_settings
from tests.support.local_broker import LocalBroker
from tests.support.postgres import Postgres
from tests.support.proxy import Proxy
from worker.domain.past import REDRIVEN

ATTEMPTS = 4
DELAYS = (1, 2, 5, 15, 45, 135, 405, 1215, 3645)
"""Of the settings below, with the steps that always exist."""

SETTINGS = {
    "EGRESS_ALLOW": "127.0.0.0/8",
    "WEBHOOK_RETRY_MAX_ATTEMPTS": str(ATTEMPTS),
    "WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1",
    "WEBHOOK_RETRY_MULTIPLIER": "1.5",
    "WEBHOOK_RETRY_MAX_DELAY_SECONDS": "2",
    "WEBHOOK_REQUEST_TIMEOUT_MS": "8000",
    "WORKER_DRAIN_SECONDS": "3",
    # A circuit opens in a long outage only: behind an open one a run would last for minutes.
    "BREAKER_FAILURES": "60",
    "BREAKER_MIN_REQUESTS": "1000",
    "BREAKER_OPEN_SECONDS": "1",
    "CACHE_TTL_SECONDS": "3",
    # So that the ledger can tell an event for a webhook that answered 410 from a lost one.
    "DISABLED_WEBHOOK": "dead",
    "WEBHOOK_GLOBAL_ENABLED": "true",
    "ORDER": "true",
    **GLOBAL_SETTINGS,
}
SIDINGS = 3
"""As many as there are ordered webhooks whose receivers can be down: a look for more would find none."""

SETTLE_SECONDS = 60.0
CALM_LOOKS = 3
"""A message between two queues is in neither for a moment: so many looks in a row must find nothing."""

HELD = ("held_bytes", "ordered_waiting", "ordered_sidings")
LOOK_SECONDS = 0.25
CALM_LOOKS_AFTER_REFUSALS = 24
"""What a full queue refused is in no queue's figures until it is offered again (LocalBroker: after four seconds)."""

CLOCK_SECONDS = 0.002
"""A letter tells milliseconds."""

DURABLE_SECONDS = 5.0
"""RabbitMQ writes the register of its quorum queues up to three seconds late (LocalBroker.wait_durable)."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Who is subscribed, how many workers deliver, and how much is published."""

    cast: tuple[Subscription, ...] = CAST
    replicas: int = 2
    flow: Flow = field(default_factory=Flow)


class World:
    """`world()` makes it. `replicas` run, `producer` publishes, until the end of the `async with`."""

    def __init__(
        self,
        plan: Plan,
        broker: LocalBroker,
        database: Database,
        receiver: LedgerReceiver,
        folder: Path,
        scale: Scale,
    ) -> None:
        self.plan = plan
        self.scale = scale
        self.broker = broker
        self.database = database
        self.receiver = receiver
        self.names = _names()
        self.ledger = Ledger(scale.cast, receiver.url(), ATTEMPTS)
        self.producer = Producer(broker.uri, self.names.exchange, self.ledger, random.Random(plan.seed), scale.flow)
        self.replicas: list[Replica] = []
        self.problems: list[str] = []
        """Violations that no ledger shows: a wrong exit code, a complaint in a log."""
        self.declared_at = 0.0
        self._clock = folder / "clock"
        self._history_uri = history_uri(database.uri, folder)

    @property
    def queues(self) -> tuple[str, ...]:
        """All that must be empty at the end."""
        ordered = (self.names.ordered, *(f"{self.names.ordered}.{number}" for number in range(1, SIDINGS + 1)))
        return (self.names.events, self.names.retries, *map(self.names.retry, DELAYS), *ordered)

    @asynccontextmanager
    async def amqp(self) -> AsyncIterator[Amqp]:
        amqp = await Amqp.connect(self.broker.uri)
        try:
            yield amqp
        finally:
            await close_quietly(amqp)

    async def ctl(self, *arguments: str) -> str:
        return await asyncio.to_thread(self.broker.ctl, *arguments)

    async def durable(self) -> None:
        """Before the broker is killed: all queues survive it."""
        recent = self.declared_at + DURABLE_SECONDS - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, recent))
        async with self.amqp() as amqp:
            there = [queue for queue in self.queues if await amqp.depth(queue) is not None]
        await asyncio.to_thread(self.broker.wait_durable, *there, self.names.dead, self.names.history)

    def declared_now(self) -> None:
        self.declared_at = asyncio.get_running_loop().time()

    def set_clock(self, wrong_by: float) -> None:
        """Seconds that the workers' wall clock is ahead."""
        self._clock.write_text(str(wrong_by))

    async def settled(self, seconds: float = SETTLE_SECONDS) -> bool:
        """Whether within that time nothing is left in the queues nor in a worker."""
        calm, wanted = 0, CALM_LOOKS_AFTER_REFUSALS if self.plan.refusing else CALM_LOOKS
        try:
            async with asyncio.timeout(seconds), self.amqp() as amqp:
                while calm < wanted:
                    calm = 0 if await self._busy(amqp) else calm + 1
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return False
        return True

    async def history_flows(self) -> None:
        """Until RabbitMQ has what the workers know now and could not tell it before: the next fault may kill them."""
        running = [replica.worker for replica in self.replicas if replica.worker.running]
        found = await asyncio.gather(*map(told, running))
        self.problems += [f"history does not flow: {problem}" for problem in found if problem]

    @asynccontextmanager
    async def rabbitmq_away(self) -> AsyncIterator[None]:
        """It takes nothing meanwhile, no history either."""
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        try:
            yield
        finally:
            self.ledger.away.append(Span(began, loop.time()))

    async def what_is_left(self) -> str:
        """For whoever looks for the reason: messages ready in the queues, and what each worker holds."""
        async with self.amqp() as amqp:
            depths = {queue: depth for queue in self.queues if (depth := await amqp.depth(queue))}
        return f"{depths}, workers {[await replica.holds() for replica in self.replicas]}"

    def keep_logs(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=f"chaos-{self.plan.seed}-"))
        for number, replica in enumerate(self.replicas):
            (folder / f"worker-{number}.log").write_text("\n".join(replica.worker.lines))
        return folder

    async def collect_letters(self) -> None:
        """Moves every dead letter into the ledger."""
        async with self.amqp() as amqp:
            for letter in await amqp.drain(self.names.dead):
                headers = {key.removeprefix("x-delivery-"): value for key, value in letter.headers.items()}
                reason, webhook, since = (_text(headers.get(name)) for name in ("reason", "webhook", "dead-since"))
                if any(str(_text(entry)).endswith(REDRIVEN) for entry in headers.get("log") or ()):
                    since = None  # its redrive came out of order, and its letter of before, which told its end, is gone
                self.ledger.letters.append(DeadLetter(number_in(letter.body), webhook, reason, self._moment(since)))

    def _moment(self, text: str | None) -> float:
        """Of a worker's wall clock, in monotonic seconds; -inf if nobody knows what that clock said."""
        if text is None or self.plan.skewed:
            return -inf
        ago = time.time() - datetime.fromisoformat(text).timestamp()
        return asyncio.get_running_loop().time() - ago - CLOCK_SECONDS

    async def collect_history(self) -> None:
        """Into the ledger: what is written, and what the last writer left in the queue."""
        async with self.amqp() as amqp:
            waiting = [message.body for message in await amqp.drain(self.names.history)]
        lines = [line for replica in self.replicas for line in replica.worker.lines]
        self.ledger.history = await asyncio.to_thread(history, self._history_uri, waiting, lines)
        self.ledger.kills = [at for replica in self.replicas for at in replica.worker.kills]

    async def stop_workers(self) -> None:
        """SIGTERM to both: they end with 0, and hold nothing back."""
        codes = await asyncio.gather(*(replica.end() for replica in self.replicas))
        if any(codes):
            self.problems.append(f"exit codes after SIGTERM: {codes}")
        async with self.amqp() as amqp:
            left = {queue: bodies for queue in self.queues if (bodies := await self._left_in(amqp, queue))}
        if left:
            self.problems.append(f"messages left behind: {left}")

    async def _left_in(self, amqp: Amqp, queue: str) -> list[bytes]:
        """Bodies; it takes them. The last tick of the last active replica may stay: whoever consumes next acks it."""
        return [body for body in await amqp.consume_ready(queue) if body or queue != self.names.ordered]

    def complain(self) -> None:
        lines = [line for replica in self.replicas for line in replica.complaints()]
        self.problems += [f"worker's log: {line[:300]} ... {line[300:][-700:]}" for line in lines[:3]]

    async def wait_for_posts(self, fact: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
        await self.receiver.arrivals.wait_for(fact, seconds, lambda: what)

    async def _busy(self, amqp: Amqp) -> bool:
        for queue in self.queues:
            if await amqp.depth(queue):
                return True
        held = [await replica.worker.metric(name) for replica in self.replicas for name in HELD]
        return any(held)


@asynccontextmanager
async def world(
    plan: Plan,
    broker: LocalBroker,
    postgres: Postgres | None,
    folder: Path,
    scale: Scale | None = None,
    /,
    *,
    flowing: bool = True,
    **settings: str,
) -> AsyncIterator[World]:
    """A receiver, a store, the workers and the producer, `flowing` by itself or not; all of it gone afterwards.

    `settings` are the workers', on top of SETTINGS.
    """
    scale = scale or Scale()
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(LedgerReceiver())
        database = Database(folder, postgres)
        stack.push_async_callback(database.close)
        made = World(plan, broker, database, receiver, folder, scale)
        receiver.ledger = made.ledger
        receiver.behaviours = {one.path: one.behaviour for one in scale.cast}
        await database.fill(scale.cast, receiver.url())
        stack.push_async_callback(_delete_queues, made)
        await _start_replicas(made, stack, folder, settings)
        stack.push_async_callback(made.producer.close)
        if flowing:
            stack.push_async_callback(_end, asyncio.create_task(made.producer.run()))
        yield made


async def _start_replicas(made: World, stack: AsyncExitStack, folder: Path, settings: Mapping[str, str]) -> None:
    environment = {
        **memory_settings(),
        **SETTINGS,
        **settings,
        **made.names.environment(),
        "DATABASE_CONNECTION_URI": made.database.uri,
        "WEBHOOK_GLOBAL_URL": made.receiver.url(GLOBAL.path),
    }
    if made.plan.skewed:
        made.set_clock(0.0)
        environment["CHAOS_CLOCK_FILE"] = str(folder / "clock")
    for _ in range(made.scale.replicas):
        proxy = await stack.enter_async_context(Proxy(made.broker.port))
        replica = Replica(proxy, environment, skewed=made.plan.skewed)
        stack.push_async_callback(replica.worker.kill)
        made.replicas.append(replica)
    await asyncio.gather(*(replica.start() for replica in made.replicas))
    made.declared_now()


async def _delete_queues(made: World) -> None:
    async with made.amqp() as amqp:
        await amqp.delete(made.names)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _names() -> Names:
    tag = secrets.token_hex(4)
    return Names(prefix=f"chaos-{tag}", exchange=f"chaos-{tag}.evolution")


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else None

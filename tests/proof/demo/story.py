"""What happens in the demo, act by act. Each act checks what it promises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import aiohttp
import jwt

from tests.console.conftest import Visitor
from tests.proof.demo.screen import NotSeen, Screen
from tests.support.amqp import Amqp, Names
from tests.support.captures import EVOLUTION_1, EVOLUTION_2, Captured, load
from tests.support.local_process import free_port, watch_over
from tests.support.receiver import Answer, Received, Receiver
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.domain.names import canonical

CAPTURED_AT = b"http://127.0.0.1:9100"
"""Where Evolution's own webhooks pointed when the events were recorded."""

GLOBAL_KEY, INSTANCE_KEY = b"B6D711FCDE4D4FD5936544120E713976", b"EAAG"
"""1.8 puts its global API key into the global webhook's body; the worker has only what the event carries."""

PACE_SECONDS = 0.2
"""Between two events, so that eyes can follow."""

CONSOLE_KEY = "demo"
FLAKY, REFUSED = "/acme/messages-upsert", b'"reactionMessage"'
JWT_KEY = "a key that acme shares with its receiver"
ACME_HEADERS = ("--header", "X-Tenant: acme", "--header", f"jwt_key: {JWT_KEY}")
LOJA_EVENTS = ("--event", "MESSAGES_UPSERT,MESSAGES_UPDATE")
LOJA_HEARS = {"messages.upsert", "messages.update"}
MAIN_COUNTERS = ("events_received", "deliveries_started", "deliveries", "attempts", "retries_published")


class WatchedReceiver(Receiver):
    """Shows each request with what it is answered, in the moment it has arrived."""

    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    async def _decide(self, received: Received) -> Answer:
        answer = await super()._decide(received)
        self._screen.post(received, answer.status)
        return answer


async def words_of(visitor: Visitor) -> str:
    return (await visitor.get()).words


@dataclass
class Story:
    """The parts that all acts need. `folder` is for the database; `names` are nobody else's on the broker."""

    screen: Screen
    amqp: Amqp
    broker_uri: str
    names: Names
    folder: Path
    receiver: WatchedReceiver
    port: int = field(default_factory=free_port)
    acme: list[Captured] = field(default_factory=lambda: load(EVOLUTION_2))
    loja: list[Captured] = field(default_factory=lambda: load(EVOLUTION_1))

    async def tell(self) -> None:
        self.screen.title("Two instances: acme wants a URL for each event, loja-1 a single URL")
        await self.command("webhook", "set", "acme", "--url", self.receiver.url("/acme"), "--by-events", *ACME_HEADERS)
        await self.command("webhook", "set", "loja-1", "--url", self.receiver.url("/hook"), *LOJA_EVENTS)
        self.screen.say(
            "", f"Settings add a global webhook, which hears {len(self.heard_globally)} kinds of events of both."
        )
        async with self.worker() as worker:
            await self.deliver()
            await self.redrive()
            await self.show_counters(worker)
            await self.show_console()
            await self.stop(worker)

    async def deliver(self) -> None:
        """Publish everything, as Evolution did, and see all of it arrive."""
        self.screen.title(f"{len(self.events)} recorded events of Evolution 2.3.7 (acme) and 1.8.2 (loja-1)")
        self.screen.say(f"acme's receiver fails twice at {FLAKY}; loja-1's knows no reactions: 404.")
        self.receiver.answer(FLAKY, 500, 500)
        self.receiver.always("/hook", lambda received: 404 if REFUSED in received.body else 200)
        self.screen.table()
        for message in self.events:
            await self.amqp.publish_event(self.names.exchange, message.routing_key, message.body)
            await asyncio.sleep(PACE_SECONDS)
        await self.receiver.wait_for(len(self.deliveries) + 2)
        self.check_bodies()
        self.check_retries()

    async def redrive(self) -> None:
        """The dead letter, its receiver's repair, and its second life."""
        screen, receiver = self.screen, self.receiver
        screen.title("A dead letter: who answers 404 is not asked again")
        await self.amqp.wait_depth(self.names.dead, 1)
        refused = [request for request in receiver.at("/hook") if REFUSED in request.body]
        listed = await self.command("dead", "list")
        kept = len(refused) == 1 and "rejected" in listed and "loja-1" in listed
        screen.check("the delivery was tried once and is kept, with its reason", kept)
        screen.say("", "loja-1's receiver learns reactions; the operator gives the letter a second life:")
        receiver.always("/hook", 200)
        before = len(receiver.requests)
        await self.command("dead", "redrive", "--instance", "loja-1", "--reason", "rejected")
        again = (await receiver.wait_for(before + 1))[-1]
        same = (again.header("webhook-id"), again.body) == (refused[0].header("webhook-id"), refused[0].body)
        screen.check(f"the same delivery: webhook-id {again.header('webhook-id')}", same)
        await self.amqp.wait_depth(self.names.dead, 0)

    async def show_counters(self, worker: Worker) -> None:
        screen, delivered = self.screen, len(self.deliveries)
        screen.title("What Prometheus sees at /metrics (without the zeros)")
        await worker.wait_metric("deliveries_total", delivered, outcome="Delivered")
        for name, value in sorted((await worker.metrics()).items()):
            if name.removeprefix("webhook_worker_").partition("_total")[0] in MAIN_COUNTERS and value:
                screen.say(f"{name:<90} {value:>6.0f}")
        started = await worker.metric("deliveries_started_total")
        ends = [await worker.metric("deliveries_total", outcome=o) for o in ("Delivered", "Skipped", "DeadLettered")]
        screen.check(
            f"nothing is missing: {started:.0f} started + 1 redriven = "
            + "{:.0f} delivered + {:.0f} skipped + {:.0f} dead-lettered".format(*ends),
            started + 1 == sum(ends) and ends[0] == delivered,
        )

    async def show_console(self) -> None:
        """In a terminal it stays until somebody has looked; elsewhere it is seen to answer."""
        screen, address = self.screen, f"http://127.0.0.1:{self.port}/console"
        screen.title("The same in a browser")
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            visitor = Visitor(f"http://127.0.0.1:{self.port}", session)
            await visitor.log_in(CONSOLE_KEY)
            delivered = f"of {len(self.deliveries) + 3} attempts"
            await eventually(lambda: words_of(visitor), lambda words: delivered in words, 15, "the console's count")
        screen.check(f"the overview counts what happened: {delivered}", True)
        screen.say(f"{address}   key: {CONSOLE_KEY}")
        if screen.is_watched:
            screen.say("Look at it; Enter ends the demo.")
            await screen.enter()

    async def stop(self, worker: Worker) -> None:
        self.screen.title("SIGTERM")
        started = time.monotonic()
        code = await worker.stop()
        self.screen.check(
            f"the worker ended with exit code {code}, {time.monotonic() - started:.1f} s later", code == 0
        )
        waiting = [await self.amqp.depth(name) for name in (self.names.events, self.names.retries, self.names.dead)]
        self.screen.check("its queues are empty", waiting == [0, 0, 0])

    def check_bodies(self) -> None:
        first = [request for request in self.receiver.requests if request.header("webhook-attempt") == "1"]
        arrived = sorted((request.path, request.body) for request in first)
        self.screen.say("")
        self.screen.check(
            f"{len(first)} bodies, byte for byte Evolution's own POSTs (but for our address and 1.8's global key)",
            arrived == sorted(self.deliveries),
        )
        tenants = [request for request in first if request.path.startswith("/acme/")]
        self.screen.check(
            "acme's carry its X-Tenant header and a bearer token of its jwt_key",
            all(request.header("x-tenant") == "acme" and _token_verifies(request) for request in tenants),
        )

    def check_retries(self) -> None:
        tries = self.receiver.at(FLAKY)
        waits = [later.at - sooner.at for sooner, later in pairwise(tries)]
        ids = {request.header("webhook-id") for request in tries}
        self.screen.check(
            f"{FLAKY} got it three times, {' and '.join(f'{wait:.1f} s' for wait in waits)} apart, one webhook-id",
            len(tries) == 3 and len(ids) == 1 and waits[0] >= 1 and waits[1] >= 2,
        )

    @property
    def events(self) -> list[Captured]:
        return self.acme + self.loja

    @property
    def deliveries(self) -> list[tuple[str, bytes]]:
        """(path, body) of each: the POSTs that Evolution made for these events, moved to this receiver."""
        here = self.receiver.url().encode()
        posts = [(post.path, post.body) for message in self.acme for post in message.posts]
        for message in self.loja:  # recorded with other webhooks: by events, and a global one with a single URL
            for post in message.posts:
                if post.webhook == "instance" and message.routing_key in LOJA_HEARS:
                    posts.append(("/hook", post.body))
                if post.webhook == "global" and message.routing_key in self.heard_globally:
                    posts.append((f"/global/{message.routing_key.replace('.', '-')}", post.body))
        return [(path, body.replace(CAPTURED_AT, here).replace(GLOBAL_KEY, INSTANCE_KEY)) for path, body in posts]

    @property
    def heard_globally(self) -> set[str]:
        return {message.routing_key for message in self.acme}

    @property
    def environment(self) -> dict[str, str]:
        """All the settings that the worker and the commands get."""
        return {
            "RABBITMQ_URI": self.broker_uri,
            "DATABASE_CONNECTION_URI": f"sqlite:///{self.folder / 'webhooks.db'}",
            "EGRESS_ALLOW": "127.0.0.0/8",
            "WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1",
            "WEBHOOK_RETRY_MULTIPLIER": "2",
            "WEBHOOK_RETRY_MAX_ATTEMPTS": "5",
            "WEBHOOK_GLOBAL_ENABLED": "true",
            "WEBHOOK_GLOBAL_URL": self.receiver.url("/global"),
            "WEBHOOK_GLOBAL_WEBHOOK_BY_EVENTS": "true",
            "LOG_FORMAT": "text",
            "AUTHENTICATION_API_KEY": CONSOLE_KEY,
            "SERVER_PORT": str(self.port),
            **{f"WEBHOOK_EVENTS_{canonical(name)}": "true" for name in self.heard_globally},
            **self.names.environment(),
        }

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """The daemon, ended whatever happens; what it wrote is shown when something was not as it should be."""
        self.screen.command("webhook-worker", "run")
        worker = Worker(self.environment)
        started = time.monotonic()
        try:
            await worker.start(ready=False)
            with _watched(worker, self.folder):
                await worker.wait_ready()
                self.screen.check(f"it consumes {time.monotonic() - started:.1f} s after its start", True)
                yield worker
        except (AssertionError, NotSeen):
            self.screen.say("", "The worker's last lines:", *worker.lines[-15:])
            raise
        finally:
            await worker.kill()

    async def command(self, *arguments: str) -> str:
        """A command of the worker's, shown with what it prints. Raises NotSeen when it fails."""
        self.screen.command("webhook-worker", *arguments)
        process = Worker(self.environment, arguments)
        try:
            await process.start(ready=False)
            code = await process.wait()
        finally:
            await process.kill()
        self.screen.output(process.lines)
        if code != 0:
            raise NotSeen(f"`webhook-worker {arguments[0]} {arguments[1]}` ended with exit code {code}")
        return "\n".join(process.lines)


@contextmanager
def _watched(worker: Worker, folder: Path) -> Iterator[None]:
    """Should the demo itself be killed, its worker and its folder go too."""
    watch = watch_over([worker.pid], folder)
    try:
        yield
    finally:
        watch.kill()
        watch.wait()
        assert watch.stdin is not None
        watch.stdin.close()


def _token_verifies(request: Received) -> bool:
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    try:
        claims = jwt.decode(token, JWT_KEY, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        return False
    return (scheme, claims.get("app"), claims.get("action")) == ("Bearer", "evolution", "webhook")

"""The bench's machine: RabbitMQ, receivers and the bench itself on one core, what is measured on the other."""

import os
import secrets
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.bench.ledger import LedgerError
from tests.proof.bench.process import MEASURED_CORE, SERVERS_CORE, Process, pin, python
from tests.proof.bench.queues import Queues
from tests.support.dockerfile import memory_settings
from tests.support.local_broker import LocalBroker
from tests.support.local_process import free_port
from tests.support.nginx import Nginx
from tests.support.webhook_rows import set_webhooks

__all__ = ["PEERS", "PREFETCH", "SERVERS_CORE", "Process", "Rig", "python", "rig", "verdict"]

PREFETCH = 400
"""Of every consumer that is measured: the worker's own for first attempts at WORKER_CONCURRENCY=500."""

PEERS = "peers"
"""The queue of the programs that the worker is measured against."""

STEPS = (5, 15, 45, 135, 405, 1215, 3645, 10935, 21600)


@dataclass(slots=True)
class Rig:
    """The running servers, and a queue prefix of the bench's own."""

    broker: LocalBroker
    nginx: Nginx
    queues: Queues
    folder: Path
    prefix: str = field(default_factory=lambda: f"bench-{secrets.token_hex(3)}")
    metrics_port: int = 0
    api_port: int = field(default_factory=free_port)

    @property
    def exchange(self) -> str:
        """Where Evolution would publish: bound to the worker's queue."""
        return self.prefix

    @property
    def events_queue(self) -> str:
        return f"{self.prefix}.events"

    @property
    def worker_queues(self) -> list[str]:
        return [
            f"{self.prefix}.{name}" for name in ("events", "retries", "dead", *(f"retry.{step}s" for step in STEPS))
        ]

    def environment(self, **settings: str) -> dict[str, str]:
        return {
            **memory_settings(),
            "RABBITMQ_URI": self.broker.uri,
            "RABBITMQ_EXCHANGE_NAME": self.exchange,
            "WORKER_QUEUE_PREFIX": self.prefix,
            "DATABASE_CONNECTION_URI": f"sqlite:///{self.folder}/webhooks.db",
            "EGRESS_ALLOW": "127.0.0.0/8",
            "METRICS_HOST": "127.0.0.1",
            "METRICS_PORT": str(self.metrics_port),
            "HISTORY": "off",  # it has a table of its own, as the archive has; the figures of before had none
            "ARCHIVE": "false",
            **settings,
        }

    def prepare(self) -> None:
        """The worker's queues, the peers' queue and one webhook, by the worker itself."""
        webhook = ("--url", self.nginx.url("/hook"), "--event", "MESSAGES_UPSERT", "--secret", "generate")
        self.command("webhook", "set", "bench-0", *webhook)
        with self.worker() as worker:
            worker.wait_consuming()
        self.queues.declare(PEERS)

    def set_instances(self, count: int) -> None:
        """`bench-0` .. `bench-<count - 1>`, all with the receiver that counts, signed."""
        self.set_webhooks({f"bench-{number}": self.nginx.url("/hook") for number in range(count)})

    def set_webhooks(self, urls: dict[str, str], orders: dict[str, str] | None = None) -> None:
        """Instance -> URL and `order`, otherwise as the webhook that `prepare` made."""
        set_webhooks(self.folder / "webhooks.db", urls, orders)

    def fill(self, queue: str, bodies: Iterable[bytes]) -> None:
        """Publish into a queue that nobody consumes yet, and wait until they are all there."""
        self.queues.fill(queue, bodies)

    def depth(self, queue: str) -> int:
        """Messages ready in a queue."""
        return self.queues.depth(queue)

    def purge(self) -> None:
        """Empty all queues, the peers' too."""
        self.queues.purge(*self.worker_queues, PEERS)

    def check_left(self, expected: int = 0) -> None:
        """After the worker's end. Raises LedgerError unless its queues come to hold exactly `expected` messages.

        Not at once: what has just expired is in no queue until the broker has moved it to the next.
        """
        deadline = time.monotonic() + 10
        while True:
            left = {queue: depth for queue in self.worker_queues if (depth := self.depth(queue))}
            if sum(left.values()) == expected:
                return
            if time.monotonic() > deadline:
                raise LedgerError(f"{expected} messages should be left in the worker's queues, there are {left}")
            time.sleep(0.05)

    def metric(self, name: str) -> float:
        """Of the running worker: a name with its labels, as in the exposition; 0 where there is none."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)

    def command(self, *arguments: str) -> None:
        environment = {**os.environ, **self.environment()}
        subprocess.run(python("-m", "worker", *arguments), env=environment, check=True, stdout=subprocess.DEVNULL)

    def worker(self, command: Sequence[str] = (), **settings: str) -> Process:
        """`command` runs it in another way, as valgrind does."""
        self.metrics_port = free_port()  # anew for each: others may take one that is free now
        return Process(command or python("-m", "worker", "run"), self.environment(**settings))

    def peer(self, command: Sequence[str]) -> Process:
        return Process(command)


def verdict(holds: bool) -> str:
    """Of one clause, in a table."""
    return "pass" if holds else "**FAIL**"


@contextmanager
def rig() -> Iterator[Rig]:
    """Raises RuntimeError on a machine without the two cores."""
    if not {MEASURED_CORE, SERVERS_CORE} <= os.sched_getaffinity(0):
        raise RuntimeError(f"cores {MEASURED_CORE} and {SERVERS_CORE} are needed: set BENCH_CORE, BENCH_SERVERS_CORE")
    pin(os.getpid(), SERVERS_CORE)
    with LocalBroker() as broker, Nginx() as nginx, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        pin(nginx.pid, SERVERS_CORE)
        pin(broker.pid, SERVERS_CORE)
        with closing(Queues(broker.uri)) as queues:
            ready = Rig(broker, nginx, queues, Path(folder))
            ready.prepare()
            yield ready

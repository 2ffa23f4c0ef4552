"""The bench's machine: RabbitMQ and nginx on one core, what is measured on the other."""

import asyncio
import os
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aio_pika

from deploy.local_broker import LocalBroker
from deploy.local_process import free_port
from tests.support.amqp import BareProperties
from tests.support.nginx import Nginx

MEASURED_CORE = 0
SERVERS_CORE = 1
TICKS = os.sysconf("SC_CLK_TCK")
WARM_UP = 0.1
"""The first part of the deliveries, which is not counted."""

PREFETCH = 400
"""Of every consumer that is measured: the worker's own for first attempts at WORKER_CONCURRENCY=500."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One round: deliveries a second, CPU microseconds a delivery, peak memory in MiB, seconds to the first one."""

    rate: float
    cpu: float
    memory: float
    first: float


@dataclass(slots=True)
class Rig:
    """The running servers, and a queue prefix of the bench's own."""

    broker: LocalBroker
    nginx: Nginx
    folder: Path
    prefix: str = field(default_factory=lambda: f"bench-{secrets.token_hex(3)}")
    metrics_port: int = field(default_factory=free_port)

    @property
    def events_queue(self) -> str:
        return f"{self.prefix}.events"

    def environment(self, **settings: str) -> dict[str, str]:
        return {
            "RABBITMQ_URI": self.broker.uri,
            "RABBITMQ_EXCHANGE_NAME": self.prefix,
            "WORKER_QUEUE_PREFIX": self.prefix,
            "DATABASE_CONNECTION_URI": f"sqlite:///{self.folder}/webhooks.db",
            "EGRESS_ALLOW": "127.0.0.0/8",
            "METRICS_HOST": "127.0.0.1",
            "METRICS_PORT": str(self.metrics_port),
            **settings,
        }

    def prepare(self) -> None:
        """The worker's queues, the peers' queue and one webhook, by the worker itself."""
        webhook = ("--url", self.nginx.url("/hook"), "--event", "MESSAGES_UPSERT", "--secret", "generate")
        self.command("webhook", "set", "bench-0", *webhook)
        with self.worker() as worker:
            worker.wait_consuming()
        asyncio.run(self._declare_peers_queue())

    def set_instances(self, count: int) -> None:
        """`bench-0` .. `bench-<count - 1>`, all with the receiver that counts, signed."""
        self.set_webhooks({f"bench-{number}": self.nginx.url("/hook") for number in range(count)})

    def set_webhooks(self, urls: dict[str, str]) -> None:
        """Instance -> URL, otherwise as the webhook that `prepare` made."""
        with closing(sqlite3.connect(self.folder / "webhooks.db")) as database, database:
            columns = [row[1] for row in database.execute("PRAGMA table_info(webhooks)")]
            template = dict(zip(columns, database.execute("SELECT * FROM webhooks LIMIT 1").fetchone(), strict=True))
            database.execute("DELETE FROM webhooks")
            rows = [tuple({**template, "instance": name, "url": url}.values()) for name, url in urls.items()]
            database.executemany(f"INSERT INTO webhooks VALUES ({','.join('?' * len(columns))})", rows)

    def purge(self) -> None:
        """Empty the worker's queues."""
        asyncio.run(self._purge())

    async def _purge(self) -> None:
        connection = await aio_pika.connect(self.broker.uri)
        channel = await (await connection.channel()).get_underlay_channel()
        names = [f"{self.prefix}.{name}" for name in ("events", "retries", "dead")]
        names += [f"{self.prefix}.retry.{step}s" for step in (5, 15, 45, 135, 405, 1215, 3645, 10935, 21600)]
        for name in names:
            await channel.queue_purge(name)
        await connection.close()

    def command(self, *arguments: str) -> None:
        environment = {**os.environ, **self.environment()}
        subprocess.run(python("-m", "worker", *arguments), env=environment, check=True, stdout=subprocess.DEVNULL)

    def worker(self, **settings: str) -> "Process":
        return Process(python("-m", "worker", "run"), self.environment(**settings))

    def fill(self, queue: str, bodies: Sequence[bytes]) -> None:
        """Publish into a queue with confirms, a thousand in flight."""
        asyncio.run(self._fill(queue, bodies))

    def depth(self, queue: str) -> int:
        """Messages ready in a queue."""
        return asyncio.run(self._depth(queue))

    async def _depth(self, queue: str) -> int:
        connection = await aio_pika.connect(self.broker.uri)
        declared = await (await connection.channel()).declare_queue(queue, passive=True)
        await connection.close()
        return declared.declaration_result.message_count or 0

    async def _fill(self, queue: str, bodies: Sequence[bytes]) -> None:
        connection = await aio_pika.connect(self.broker.uri)
        channel = await (await connection.channel()).get_underlay_channel()
        for start in range(0, len(bodies), 1000):
            await asyncio.gather(
                *(
                    channel.basic_publish(body, routing_key=queue, properties=BareProperties(delivery_mode=2))
                    for body in bodies[start : start + 1000]
                )
            )
        await connection.close()

    async def _declare_peers_queue(self) -> None:
        connection = await aio_pika.connect(self.broker.uri)
        channel = await connection.channel()
        await channel.declare_queue("peers", durable=True, arguments={"x-queue-type": "quorum"})
        await connection.close()

    def peer(self, command: Sequence[str]) -> "Process":
        return Process(command)


@contextmanager
def rig() -> Iterator[Rig]:
    with LocalBroker() as broker, Nginx() as nginx, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        pin(nginx.pid, SERVERS_CORE)
        pin(broker.pid, SERVERS_CORE)
        rig = Rig(broker, nginx, Path(folder))
        rig.prepare()
        yield rig


class Process:
    """A program on one core; ended by SIGTERM."""

    def __init__(
        self, command: Sequence[str], environment: dict[str, str] | None = None, core: int = MEASURED_CORE
    ) -> None:
        self.started = time.monotonic()
        self._output = tempfile.NamedTemporaryFile(prefix="bench-")  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            env={**os.environ, **(environment or {})},
            stdout=self._output,
            stderr=self._output,
        )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)
        self._output.close()

    def wait_consuming(self) -> None:
        """Until the worker has said that both its connections are up."""
        while self.output().count("connected to RabbitMQ") < 2:
            self.check_running()
            time.sleep(0.01)

    def check_running(self) -> None:
        """Raises RuntimeError with what it wrote, if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(self.output())

    def output(self) -> str:
        return Path(self._output.name).read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def peak_mib(self) -> float:
        return self._status("VmHWM") / 1024

    @property
    def rss_mib(self) -> float:
        return self._status("VmRSS") / 1024

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split(f"{name}:")[1].split()[0])


def measure(process: Process, nginx: Nginx, count: int, *, limit: float = 120.0) -> Sample:
    """Follow `count` deliveries at the receiver; the first tenth is the warm-up. Raises TimeoutError."""
    start = nginx.requests()
    first: tuple[float, float, int] | None = None
    began = 0.0
    for asked in range(1, sys.maxsize):
        seen = nginx.requests() - start - asked
        now = (time.monotonic(), process.cpu_seconds, seen)
        if not began and seen > 0:
            began = now[0] - process.started
        if first is None and seen >= count * WARM_UP:
            first = now
        if seen >= count and first is not None:
            done = seen - first[2]
            return Sample(done / (now[0] - first[0]), (now[1] - first[1]) / done * 1e6, process.peak_mib, began)
        if now[0] - process.started > limit:
            raise TimeoutError(f"only {seen} of {count} deliveries within {limit} s")
        time.sleep(0.02)
    raise AssertionError


def event(instance: str, size: int, number: int = 0, name: str = "messages.upsert") -> bytes:
    """An event of about `size` bytes, as Evolution publishes it."""
    head = f'{{"event":"{name}","instance":"{instance}","data":{{"key":{{"id":"{number:012d}"}},"text":"'
    tail = '"},"server_url":"https://evo.example","date_time":"2026-11-22T08:37:36.202Z","apikey":"T"}'
    return (head + "x" * max(0, size - len(head) - len(tail)) + tail).encode()


def median(samples: Sequence[Sample]) -> Sample:
    """Of each figure by itself."""
    return Sample(
        statistics.median(sample.rate for sample in samples),
        statistics.median(sample.cpu for sample in samples),
        statistics.median(sample.memory for sample in samples),
        statistics.median(sample.first for sample in samples),
    )


def verdict(holds: bool) -> str:
    """Of one clause, in a table."""
    return "pass" if holds else "**FAIL**"


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def pin(pid: int, core: int) -> None:
    """All threads of a process on one core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})

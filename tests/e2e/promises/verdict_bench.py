"""One worker for a whole table of verdicts, and what a row must leave behind."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.receiver import Receiver
from tests.support.tls import Authority
from tests.support.worker import Worker
from worker.domain.webhook import Webhook
from worker.stores.own.store import SqlStore

KEY = "messages.upsert"


@dataclass
class Bench:
    """One worker for all rows: each row is an instance of its own, and nothing is left of it afterwards."""

    worker: Worker
    receiver: Receiver
    amqp: Amqp
    names: Names
    store: SqlStore
    authority: Authority
    numbers: count[int]

    async def settle(self, url: str, **fields: Any) -> tuple[str, str, str]:
        """Delivers one event to `url`: the instance it belonged to, and how and why it left the process."""
        instance = f"row-{next(self.numbers)}"
        await self.store.put(Webhook(instance, url, **fields))
        before = await self._outcomes()
        await self.amqp.publish_event(self.names.exchange, KEY, event(instance=instance))
        await self.worker.wait_metric("deliveries_total", before.total() + 1)
        ((outcome, reason),) = (await self._outcomes() - before).elements()
        return instance, outcome, reason

    async def letter(self, queue: str) -> Mapping[str, Any]:
        """The headers of the one message in the queue; takes it, and everything else must be empty."""
        await self.amqp.wait_depth(queue, 1)
        (message,) = await self.amqp.drain(queue)
        await self.nothing_left()
        return message.headers

    async def nothing_left(self) -> None:
        names = self.names
        queues = (names.events, names.retries, names.dead, names.retry(5), names.retry(45))
        assert [await self.amqp.depth(queue) for queue in queues] == [0] * len(queues)

    async def _outcomes(self) -> Counter[tuple[str, str]]:
        rows = [(key, value) for key, value in (await self.worker.metrics()).items() if "deliveries_total{" in key]
        return Counter({_labels(key): int(value) for key, value in rows if value})


def _labels(key: str) -> tuple[str, str]:
    _, outcome, _, reason, _ = key.split('"')
    return outcome, reason


def environment(broker: LocalBroker, names: Names, uri: str, certificates: Path) -> dict[str, str]:
    return {
        "RABBITMQ_URI": broker.uri,
        "DATABASE_CONNECTION_URI": uri,
        "EGRESS_ALLOW": "127.0.0.0/8",
        "LOG_LEVEL": "debug",
        "SSL_CERT_FILE": str(certificates),
        **names.environment(),
    }


def assert_past(headers: Mapping[str, Any], names: Names, *, status: int | None, error: str) -> None:
    """One charged attempt, told in full."""
    found = {key.removeprefix("x-delivery-"): value for key, value in headers.items()}
    assert (found["exchange"], found["routing-key"]) == (names.exchange, KEY)
    assert (found["webhook"], found["attempts"], found["parkings"]) == ("default", 1, 0)
    assert len(found["event-id"]) == 64
    assert 0 <= time.time() * 1000 - found["first-seen"] < 60_000
    assert found.get("last-status") == status
    assert error in found["last-error"]
    (entry,) = found["log"]
    stamp, _, what = entry.partition(" ")
    assert (stamp[:2], what) == ("20", str(status) if status else what)


def assert_letter(headers: Mapping[str, Any], reason: str, instance: str) -> None:
    found = {key.removeprefix("x-delivery-"): value for key, value in headers.items()}
    assert (found["reason"], found["instance"], found["event"]) == (reason, instance, KEY)
    assert found["id"].startswith("msg_")
    assert found["error"]
    assert found["dead-since"][:2] == "20"

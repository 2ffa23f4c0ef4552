"""Promises 6 and 8 of the README: the producer's bytes as they are, and bad input that costs nobody but itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.receiver import Answer, Received, Receiver
from tests.support.worker import Worker
from worker.domain.webhook import Webhook

STRANGE_DATA = (
    rb'{"torn":"half an emoji \ud83d","pair":"\ud83d\ude00","low":"\udc00"}',
    rb'{ "a" : 1.0e10 , "a":2,  "big": 123456789012345678901234567890, "neg": -0.0 }',
    '"😀 Zé \\u00e9 \\/ \u2028"'.encode(),
    b"null",
    b"[]",
    b'"\xff\xfe not UTF-8"',
)


def with_destination(body: bytes, url: str) -> bytes:
    """The body that Evolution makes of an event: `destination` between `data` and `date_time`."""
    return body.replace(b',"date_time"', b',"destination":"%s","date_time"' % url.encode())


async def test_promise_6_the_receiver_gets_the_bytes_of_data_that_the_producer_sent(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver
) -> None:
    url = receiver.url("/acme")
    await webhooks(Webhook("acme", url, secrets=("whsec_" + "QUJD" * 8,)))
    await worker()
    bodies = [event(raw_data=raw) for raw in STRANGE_DATA]
    bodies.append(event(raw_data=rb'{"base64":"' + b"QUJDREVG" * 2_500_000 + rb'","torn":"\ud83d"}'))  # 20 MB
    await publish(*bodies)
    posts = await receiver.wait_for(len(bodies), timeout=30)
    received, wanted = {post.body for post in posts}, {with_destination(body, url) for body in bodies}
    assert {body[:300] for body in received - wanted} == set()  # pytest would compare 20 MB for minutes


NESTED = b'{"event":"messages.upsert","instance":"acme","data":' + b"[" * 30_000_000
BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "not JSON": (b"hello", "not JSON"),
    "cut": (event()[:-20], "not JSON"),
    "binary": (bytes(range(256)) * 4, "not JSON"),
    "an array": (b"[" + event() + b"]", "not a JSON object"),
    "a number": (b"17", "not a JSON object"),
    "no event": (b'{"instance":"acme","data":null}', "no `event`"),
    "no instance": (b'{"event":"messages.upsert","data":null}', "no `instance`"),
    "event null": (b'{"event":null,"instance":"acme"}', "`event` must be"),
    "event empty": (b'{"event":"","instance":"acme"}', "`event` must be"),
    "instance a number": (b'{"event":"call","instance":5}', "`instance` must be"),
    "instance an object": (b'{"event":"call","instance":{"instanceName":"acme"}}', "`instance` must be"),
    "instance torn": (rb'{"event":"call","instance":"\ud83d"}', "`instance` holds an unpaired surrogate"),
    "instance long": (event(instance="x" * 300), "`instance` has 300 characters"),
    "30 MB of nesting": (NESTED, "nested too deeply"),
    "8 MB of garbage": (b"\x00\xff{[" * 2_000_000, "not JSON"),
    "thousands of keys": (b"{" + b",".join(b'"%d":1' % n for n in range(100_000)) + b"}", "100000 keys"),
}

GOOD_HEADERS = {
    "event-id": "0" * 64,
    "first-seen": 1,
    "exchange": "e",
    "routing-key": "k",
    "attempts": 1,
    "parkings": 0,
}
DAMAGED_HEADERS: tuple[tuple[str, Any], ...] = (
    ("event-id", 5),
    ("first-seen", "yesterday"),
    ("attempts", -1),
    ("attempts", True),
    ("parkings", [1]),
    ("exchange", {"a": 1}),
    ("routing-key", bytearray(b"\xff\xfe")),
    ("webhook", 7),
    ("last-status", "500"),
    ("log", "one line"),
    ("log", [1]),
    # Somebody else's: what the worker adds would not fit its frame any more, and RabbitMQ would close the connection.
    ("event-id", "q" * 120_000),
    ("last-error", "q" * 1_001),
    ("log", ["q" * 120_000]),
    ("log", ["q" * 1_001]),
)


async def test_promise_8_bad_input_ends_in_the_dead_letters_with_a_reason_that_names_the_field(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/acme")))
    daemon = await worker()
    wanted = dict(BAD_BODIES.values())
    await publish(*wanted)
    for number, (field, value) in enumerate(DAMAGED_HEADERS):
        body = event(data=number)
        wanted[body] = f"x-delivery-{field}"
        await amqp.publish("", names.retries, body, headers=_headers({**GOOD_HEADERS, field: value}))
    await daemon.wait_metric("deliveries_total", len(wanted), outcome="DeadLettered", reason="invalid_event")
    await publish(event(data="good"))
    (good,) = await receiver.wait_for(1)
    assert good.json()["data"] == "good"
    assert [await amqp.depth(queue) for queue in (names.events, names.retries)] == [0, 0]
    found = {letter.body: letter.headers for letter in await amqp.drain(names.dead)}
    errors = {body[:60]: headers["x-delivery-error"] for body, headers in found.items()}
    assert {body: problem in errors[body[:60]] for body, problem in wanted.items()} == dict.fromkeys(wanted, True), (
        errors
    )
    assert {headers["x-delivery-reason"] for headers in found.values()} == {"invalid_event"}
    assert await daemon.metric("deliveries_started_total") == len(wanted) + 1
    assert await daemon.metric("broker_reconnects_total") == 0


def _headers(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {f"x-delivery-{field}": value for field, value in fields.items()}


MEBIBYTE = 2**20
MANY, SIZE, LIMIT = 60, 5_000_000, 20_000_000


async def test_promise_8_unacked_messages_never_hold_much_more_than_worker_max_bytes(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    """300 MB of events for receivers that take nothing until the worker has stopped taking more."""
    release = asyncio.Event()
    receiver_of_counts = _Counts(release)
    receiver.always("/acme", receiver_of_counts.answer)
    await webhooks(Webhook("acme", receiver.url("/acme"), concurrency=20))
    daemon = await worker(WORKER_MAX_BYTES="20MB")
    for number in range(MANY):
        await publish(event(data=number, raw_data=b'"%d %s"' % (number, b"x" * SIZE)))
    await daemon.wait_for_line("consuming pauses")
    await receiver.wait_for(1)
    assert await daemon.metric("held_bytes") <= LIMIT + SIZE + 1000
    release.set()
    await daemon.wait_metric("deliveries_total", MANY, timeout=60, outcome="Delivered")
    assert receiver_of_counts.numbers == {b"%d" % number for number in range(MANY)}
    assert [await amqp.depth(queue) for queue in (names.events, names.retries, names.dead)] == [0, 0, 0]
    assert await daemon.metric("deliveries_total", outcome="DeadLettered") == 0
    assert _peak_bytes(daemon) < 250 * MEBIBYTE, f"{_peak_bytes(daemon) / MEBIBYTE:.0f} MiB"


class _Counts:
    """Remembers which numbers came, not their 300 MB."""

    def __init__(self, release: asyncio.Event) -> None:
        self.numbers: set[bytes] = set()
        self._release = release

    def answer(self, received: Received) -> Answer:
        _, _, tail = received.body[:200].partition(b'"data":"')
        self.numbers.add(tail.split(b" ")[0])
        return Answer(release=self._release)


def _peak_bytes(daemon: Worker) -> int:
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@pytest.mark.parametrize("large", [6_000_000])
async def test_promise_8_one_message_larger_than_the_limit_is_still_delivered(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, large: int
) -> None:
    await webhooks(Webhook("acme", receiver.url("/acme")))
    await worker(WORKER_MAX_BYTES="1MB")
    await publish(event(), event(raw_data=b'"%s"' % (b"x" * large)), event(data=2))
    posts = await receiver.wait_for(3)
    assert max(len(post.body) for post in posts) > large

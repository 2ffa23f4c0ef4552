"""The verdict table, a test for each row: outcome, reason, the queue it lies in, what it carries."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio

from tests.e2e.promises.verdict_bench import KEY, Bench, assert_letter, assert_past, environment
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.local_process import free_port
from tests.support.receiver import Answer, HostileReceiver, Receiver, read_request
from tests.support.tls import Authority
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.stores.own.store import SqlStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

DELIVERED, RETRIED, DEAD = "Delivered", "Retried", "DeadLettered"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(broker: LocalBroker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("verdicts")
    tag, authority, uri = secrets.token_hex(4), Authority(), f"sqlite:///{folder / 'webhooks.db'}"
    names = Names(prefix=f"test-{tag}", exchange=f"evolution-{tag}")
    store = SqlStore(uri, lambda: int(time.time() * 1000))
    await store.migrate()
    worker = Worker(environment(broker, names, uri, authority.write_certificate(folder / "ca.pem")))
    try:
        async with await Amqp.connect(broker.uri) as amqp, Receiver() as receiver:
            await worker.start()
            yield Bench(worker, receiver, amqp, names, store, authority, count(1))
            await worker.kill()
            await amqp.delete(names)
    finally:
        await worker.kill()
        await store.close()
        print(worker.output())


# Answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_a_2xx_is_delivered(bench: Bench, status: int) -> None:
    bench.receiver.always(f"/{status}", status)
    _, outcome, reason = await bench.settle(bench.receiver.url(f"/{status}"))
    assert (outcome, reason) == (DELIVERED, "ok")
    await bench.nothing_left()


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ((408, 425, 429, 402, 405, 409, 418, 451), "4xx"),
        ((500, 501, 502, 503, 504, 599), "5xx"),
        ((300, 301, 302, 303, 304, 307, 308), "3xx"),
    ],
    ids=["4xx", "5xx", "3xx"],
)
async def test_these_statuses_are_retried(bench: Bench, statuses: tuple[int, ...], reason: str) -> None:
    for status in statuses:
        bench.receiver.always(f"/{status}", Answer(status, {"Location": bench.receiver.url("/elsewhere")}))
        _, *how = await bench.settle(bench.receiver.url(f"/{status}"))
        assert (status, *how) == (status, RETRIED, reason)
        headers = await bench.letter(bench.names.retry(5))
        assert_past(headers, bench.names, status=status, error=f"answered {status}")
        assert len(bench.receiver.at(f"/{status}")) == 1
    assert bench.receiver.at("/elsewhere") == [], "a redirect is never followed"


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_chooses_the_next_delay_queue_that_covers_it(bench: Bench, status: int) -> None:
    bench.receiver.always(f"/later-{status}", Answer(status, {"Retry-After": "30"}))
    _, outcome, _ = await bench.settle(bench.receiver.url(f"/later-{status}"))
    assert outcome == RETRIED
    assert_past(await bench.letter(bench.names.retry(45)), bench.names, status=status, error=str(status))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 413])
async def test_these_statuses_are_rejections(bench: Bench, status: int) -> None:
    bench.receiver.always(f"/{status}", status)
    instance, *how = await bench.settle(bench.receiver.url(f"/{status}"))
    assert how == [DEAD, "rejected"]
    headers = await bench.letter(bench.names.dead)
    assert_past(headers, bench.names, status=status, error=f"answered {status}")
    assert_letter(headers, "rejected", instance)


async def test_a_410_is_a_dead_letter_and_disables_the_webhook(bench: Bench) -> None:
    bench.receiver.always("/410", 410)
    instance, *how = await bench.settle(bench.receiver.url("/410"))
    assert how == [DEAD, "gone"]
    assert_letter(await bench.letter(bench.names.dead), "gone", instance)
    before = await bench.worker.metric("deliveries_total", outcome="Skipped", reason="disabled")
    await bench.amqp.publish_event(bench.names.exchange, KEY, event(instance=instance, data="the next event"))
    await bench.worker.wait_metric("deliveries_total", before + 1, outcome="Skipped", reason="disabled")
    rows = await eventually(
        lambda: bench.store.load(instance), lambda rows: not rows[0].enabled, 15, "the webhook to be disabled"
    )
    assert "410" in (rows[0].disabled_reason or "")
    assert len(bench.receiver.at("/410")) == 1


# No answer


async def test_a_timeout_is_retried(bench: Bench) -> None:
    release = asyncio.Event()
    bench.receiver.always("/hangs", Answer(release=release))
    _, *how = await bench.settle(bench.receiver.url("/hangs"), timeout_ms=250)
    release.set()
    assert how == [RETRIED, "timeout"]
    assert_past(await bench.letter(bench.names.retry(5)), bench.names, status=None, error="no answer within 0.25 s")


async def test_a_refused_connect_is_retried(bench: Bench) -> None:
    _, *how = await bench.settle(f"http://127.0.0.1:{free_port()}/x")
    assert how == [RETRIED, "connect"]
    assert_past(await bench.letter(bench.names.retry(5)), bench.names, status=None, error="connecting to 127.0.0.1")


async def test_a_name_that_does_not_resolve_is_retried(bench: Bench) -> None:
    _, *how = await bench.settle("http://receiver.invalid/x")
    assert how == [RETRIED, "dns"]
    headers = await bench.letter(bench.names.retry(5))
    assert_past(headers, bench.names, status=None, error="receiver.invalid does not resolve")


@pytest.mark.parametrize("certificate", ["wrong name", "expired", "unknown authority", "no TLS"])
async def test_a_tls_failure_is_retried(bench: Bench, certificate: str) -> None:
    authority = bench.authority
    contexts = {
        "wrong name": authority.wrong_name(),
        "expired": authority.expired(),
        "unknown authority": Authority().server(),
        "no TLS": None,
    }
    async with Receiver(tls=contexts[certificate]) as receiver:
        _, *how = await bench.settle(f"https://127.0.0.1:{receiver.port}/x")
    assert how == [RETRIED, "tls"]
    assert receiver.requests == []
    assert_past(await bench.letter(bench.names.retry(5)), bench.names, status=None, error="TLS with 127.0.0.1")


async def test_a_good_certificate_is_delivered(bench: Bench) -> None:
    async with Receiver(tls=bench.authority.server()) as receiver:
        _, *how = await bench.settle(receiver.url("/x"))
    assert how == [DELIVERED, "ok"]


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"SSH-2.0-OpenSSH\r\n\r\n"],
    ids=["nothing", "half a head", "another protocol"],
)
async def test_a_connection_cut_before_the_headers_end_is_retried(bench: Bench, said: bytes) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(said)
        await writer.drain()

    async with HostileReceiver(cut) as receiver:
        _, *how = await bench.settle(receiver.url("/x"))
    assert receiver.connections == 1
    assert how == [RETRIED, "connect"]
    assert_past(await bench.letter(bench.names.retry(5)), bench.names, status=None, error="127.0.0.1")


@pytest.mark.parametrize("more", [b"x", b"\x00" * 300_000], ids=["a byte", "300 KB"])
async def test_what_happens_to_the_body_of_a_2xx_changes_nothing(bench: Bench, more: bytes) -> None:
    """An answer that never ends: it is drained for a second or up to 64 KiB, and counts by its status."""

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + more)
        await writer.drain()
        await reader.read()  # until the worker closes the connection

    async with HostileReceiver(endless) as receiver:
        _, *how = await bench.settle(receiver.url("/x"))
    assert how == [DELIVERED, "ok"]
    await bench.nothing_left()


# Not sent at all


@pytest.mark.parametrize(
    ("url", "reason", "error"),
    [
        ("http://10.1.2.3/x", "egress_refused", "private address 10.1.2.3"),
        ("ftp://127.0.0.1/x", "bad_url", "must begin with http:// or https://"),
    ],
    ids=["egress", "url"],
)
async def test_what_must_not_or_cannot_be_sent_is_a_dead_letter(
    bench: Bench, url: str, reason: str, error: str
) -> None:
    instance, *how = await bench.settle(url)
    assert how == [DEAD, reason]
    headers = await bench.letter(bench.names.dead)
    assert error in headers["x-delivery-error"]
    assert (headers["x-delivery-reason"], headers["x-delivery-instance"]) == (reason, instance)

"""Replicas of a worker that deliver in order are killed, stopped and cut off where it hurts most.

`python -m tests.proof.order crashes`. Each test ends with the same two questions: was everything delivered, and did an
event arrive for the first time before one that came before it had been delivered?
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks, publish, webhooks
from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.proxy import BASIC_ACK, PUBLISH, Link, Proxy, Way
from tests.support.receiver import Received, Receiver
from tests.support.waiting import eventually
from tests.support.worker import Worker
from worker.domain.webhook import Endpoint, RateLimit, Webhook
from worker.ordered.switching import SLACK_SECONDS
from worker.stores.own.store import SqlStore

__all__ = ["publish", "webhooks"]

pytestmark = pytest.mark.timeout(600)

ORDERED = "worker ordered"
CHATS = ("5511@s.whatsapp.net", "5522@s.whatsapp.net", "5533@s.whatsapp.net")
SETTINGS = {"ORDER": "true", "BREAKER_FAILURES": "2", "BREAKER_OPEN_SECONDS": "2", "CACHE_TTL_SECONDS": "1"}


class Book:
    """What arrived at a receiver, and what it answered. `status` is what it answers from now on."""

    def __init__(self) -> None:
        self.status = 200
        self.posts = 0
        self.inversions: list[str] = []
        self.delivered: dict[str, set[int]] = defaultdict(set)
        self._met: dict[str, set[int]] = defaultdict(set)
        self.counts_from = 0
        self.hold: asyncio.Event | None = None

    async def answer(self, received: Received) -> int:
        data = json.loads(received.body)["data"]
        chat, number = data["key"]["remoteJid"], data["number"]
        self.posts += 1
        if number not in self._met[chat]:
            self._met[chat].add(number)
            missing = set(range(self.counts_from + 1, number)) - self.delivered[chat]
            if missing and number > self.counts_from:
                self.inversions.append(f"{chat}: {number} arrived before {sorted(missing)[:5]} had been delivered")
        if self.hold is not None:
            await self.hold.wait()
        if self.status == 200:
            self.delivered[chat].add(number)
        return self.status


class Stage:
    """Workers, each behind a proxy of its own, one webhook with an order, and events that are counted."""

    def __init__(
        self, worker: StartWorker, broker: LocalBroker, publish: PublishEvents, receiver: Receiver, amqp: Amqp
    ) -> None:
        self._start, self._broker, self._publish = worker, broker, publish
        self.receiver, self.amqp = receiver, amqp
        self.book = Book()
        self.published = 0
        self.proxies: dict[Worker, Proxy] = {}
        receiver.always("/bot", self.book.answer)

    async def worker(self, **settings: str) -> Worker:
        proxy = await Proxy(self._broker.port).__aenter__()
        started = await self._start(RABBITMQ_URI=proxy.uri(), **{**SETTINGS, **settings})
        self.proxies[started] = proxy
        return started

    async def active(self, **settings: str) -> Worker:
        started = await self.worker(**settings)
        await started.wait_metric("ordered_active", 1, timeout=30.0)
        return started

    async def link(self, of: Worker, name: str = ORDERED) -> Link:
        return await self.proxies[of].link(name)

    async def say(self, count: int) -> None:
        """So many more messages in each chat."""
        for number in range(self.published + 1, self.published + count + 1):
            for chat in CHATS:
                data = {"key": {"remoteJid": chat, "id": f"{chat}-{number}"}, "number": number}
                body = json.dumps({"event": "messages.upsert", "instance": "acme", "data": data})
                await self._publish(body.encode())
        self.published += count

    async def delivered(self, count: int, seconds: float = 60.0) -> None:
        """So many in all."""
        await eventually(self._count, lambda found: found >= count, seconds, f"{count} deliveries")

    async def _count(self) -> int:
        return sum(map(len, self.book.delivered.values()))

    async def all_in_order(self, seconds: float = 90.0) -> None:
        await self.delivered(self.published * len(CHATS), seconds)
        assert self.book.inversions == []

    async def down(self, active: Worker) -> None:
        """The receiver is down, and its events are in a siding."""
        self.book.status = 503
        await self.say(5)
        await active.wait_metric("ordered_sidings", 1, timeout=30.0)

    async def close(self) -> None:
        for proxy in self.proxies.values():
            await proxy.__aexit__()


@pytest.fixture
async def stage(
    worker: StartWorker,
    broker: LocalBroker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    amqp: Amqp,
) -> AsyncIterator[Stage]:
    await webhooks(Webhook("acme", receiver.url("/bot"), order="chat", rate_limit=RateLimit(60, 1)))
    stage = Stage(worker, broker, publish, receiver, amqp)
    yield stage
    await stage.close()


async def test_killed_after_a_post_before_its_ack(stage: Stage) -> None:
    first = await stage.active()
    await stage.worker()
    link = await stage.link(first)
    link.stall(Way.UP)
    await stage.say(10)
    await link.wait_held(Way.UP, BASIC_ACK)
    await first.kill()
    await stage.all_in_order()
    assert stage.book.posts > stage.published * len(CHATS), "what was not acked came again"


async def test_killed_after_a_confirmed_publish_into_the_siding_before_the_ack(stage: Stage) -> None:
    first = await stage.active()
    second = await stage.worker()
    await stage.down(first)
    link = await stage.link(first)
    link.stall(Way.UP)
    await stage.say(5)
    await link.wait_held(Way.UP, BASIC_ACK)
    await first.kill()
    await second.wait_metric("ordered_sidings", 1, timeout=30.0)
    stage.book.status = 200
    await stage.say(5)
    await stage.all_in_order()


async def test_killed_before_the_siding_saw_what_was_published(stage: Stage) -> None:
    first = await stage.active()
    await stage.worker()
    await stage.down(first)
    link = await stage.link(first, PUBLISH)
    link.stall(Way.UP)
    await stage.say(5)
    await link.wait_held(Way.UP, b".ordered.1")
    await first.kill()
    stage.book.status = 200
    await stage.all_in_order()


async def test_killed_before_it_saw_the_sidings_confirm(stage: Stage) -> None:
    first = await stage.active()
    await stage.worker()
    await stage.down(first)
    link = await stage.link(first, PUBLISH)
    link.stall(Way.DOWN)
    await stage.say(5)
    await link.wait_held(Way.DOWN)
    await first.kill()
    stage.book.status = 200
    await stage.all_in_order()


async def test_killed_while_the_siding_is_emptied(stage: Stage) -> None:
    first = await stage.active()
    await stage.worker()
    await stage.down(first)
    await stage.say(30)
    stage.book.status = 200
    await stage.delivered(20)
    await first.kill()
    await stage.all_in_order()


async def test_killed_between_the_sidings_last_event_and_the_way_back(stage: Stage) -> None:
    first = await stage.active()
    await stage.worker()
    await stage.down(first)
    stage.book.status = 200
    await stage.delivered(1)
    link = await stage.link(first)
    link.stall(Way.UP)  # so that its acks are stored nowhere, and the siding stays its own
    await stage.delivered(stage.published * len(CHATS))
    await stage.say(5)
    await first.kill()
    await stage.all_in_order()


async def test_killed_right_after_a_takeover(stage: Stage) -> None:
    first = await stage.active()
    second, third = await stage.worker(), await stage.worker()
    await stage.down(first)
    await stage.say(5)
    await first.kill()
    for _ in range(100):
        taking = [one for one in (second, third) if any("taking over" in line for line in one.lines)]
        if taking:
            break
        await asyncio.sleep(0.1)
    await taking[0].wait_for_line("asking the sidings", timeout=20.0)
    await taking[0].kill()
    stage.book.status = 200
    await stage.all_in_order()


async def test_an_idle_takeover_with_a_full_siding_and_no_fresh_event(stage: Stage, names: Names) -> None:
    first = await stage.active()
    second = await stage.worker()
    await stage.down(first)
    await eventually(lambda: stage.amqp.depth(names.ordered), lambda got: got == 0, 30.0, "idle")
    await first.kill()
    began = asyncio.get_running_loop().time()
    await second.wait_metric("ordered_active", 1, timeout=30.0)
    print(f"active after {asyncio.get_running_loop().time() - began:.1f} s")
    stage.book.status = 200
    await stage.all_in_order()


async def test_a_worker_that_hangs_for_twenty_seconds_and_goes_on(stage: Stage) -> None:
    first = await stage.active()
    second = await stage.worker()
    await stage.say(30)
    await stage.delivered(10)
    first.send_signal(signal.SIGSTOP)
    await stage.say(30)
    await second.wait_metric("ordered_active", 1, timeout=40.0)
    await asyncio.sleep(10.0)
    await stage.say(10)
    first.send_signal(signal.SIGCONT)
    await stage.say(10)
    await stage.all_in_order()


async def test_a_rolling_update_under_load(stage: Stage) -> None:
    running = [await stage.active(), await stage.worker()]
    for _ in range(2):
        await stage.say(20)
        old = running.pop(0)
        running.append(await stage.worker())
        await stage.say(20)
        assert await old.stop() == 0
    await stage.all_in_order()


async def test_the_consuming_connection_is_cut_off_and_comes_back(stage: Stage) -> None:
    first = await stage.active()
    await stage.worker()
    await stage.say(30)
    await stage.delivered(10)
    link = await stage.link(first)
    link.stall(Way.UP, Way.DOWN)
    await stage.say(30)
    await stage.all_in_order(120.0)


@pytest.mark.parametrize("orders", [("chat", "none"), ("none", "chat")])
async def test_switched_under_load_no_event_is_lost(
    stage: Stage, webhooks: PutWebhooks, tmp_path: Path, orders: tuple[str, str], receiver: Receiver
) -> None:
    """With a backlog: the receiver is down as it begins."""
    before, after = orders
    await webhooks(Webhook("acme", receiver.url("/bot"), order=before, rate_limit=RateLimit(60, 1)))
    running = [await stage.active(), await stage.worker()]
    stage.book.status = 503
    await stage.say(10)
    command = await stage._start(
        arguments=("webhook", "set", "acme", "--order", after), ready=False, ORDER="true", CACHE_TTL_SECONDS="1"
    )
    assert await command.wait() == 0
    await stage.say(10)
    stage.book.status = 200
    store = SqlStore(f"sqlite:///{tmp_path / 'webhooks.db'}", lambda: 0)
    endpoint = Endpoint("acme", "default")

    async def order() -> tuple[str, str | None]:
        await stage.say(1)
        await asyncio.sleep(1.0)
        [webhook] = await store.load(endpoint.instance)
        return webhook.order, webhook.order_next

    await eventually(order, lambda found: found == (after, None), SLACK_SECONDS + 120.0, "the switch has ended")
    await stage.delivered(stage.published * len(CHATS))
    stage.book.inversions.clear()
    stage.book.counts_from = stage.published
    await asyncio.sleep(3.0)  # twice the caches' age: from here on the new order holds
    await stage.say(30)
    await running[0].kill()
    await stage.say(10)
    await stage.delivered(stage.published * len(CHATS), 90.0)
    if after == "chat":
        assert stage.book.inversions == []
    await store.close()


async def test_switched_off_again_what_is_there_is_still_delivered_in_order(stage: Stage) -> None:
    first = await stage.active()
    await stage.down(first)
    await first.stop()
    stage.book.status = 200
    second = await stage.worker(ORDER="false")
    await second.wait_for_line("ORDER is false", "served until it is empty")
    await stage.all_in_order()


async def test_a_bad_event_is_given_up_after_its_time(
    stage: Stage, webhooks: PutWebhooks, names: Names, amqp: Amqp, receiver: Receiver
) -> None:
    await webhooks(Webhook("acme", receiver.url("/bot"), order="chat", order_block_seconds=2))

    async def answer(received: Received) -> int:
        data = received.json()["data"]
        bad = (data["key"]["remoteJid"], data["number"]) == (CHATS[0], 1)
        return 500 if bad else await stage.book.answer(received)

    receiver.always("/bot", answer)
    stage.book.counts_from = 1
    await stage.active(BREAKER_FAILURES="1000")
    await stage.say(3)
    await stage.delivered(3 * len(CHATS) - 1)
    assert stage.book.inversions == []
    await amqp.wait_depth(names.dead, 1, timeout=30.0)

"""Ordered delivery on a real broker, two replicas in this process: takeovers, sidings, the way back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from tests.support.amqp import Amqp, Names
from tests.support.local_broker import LocalBroker
from tests.support.proxy import Proxy
from tests.support.waiting import until
from worker.basics.tasks import Tasks, end
from worker.broker.announcements import KeptConnection
from worker.broker.connection import Supervisor
from worker.broker.consuming.taken_message import TakenMessage
from worker.broker.declare import declare_one, open_channel
from worker.broker.frames import declare_exchange
from worker.broker.ordered.client import OrderedClient, quick
from worker.broker.ordered.replicas import overheard
from worker.broker.topology import ordered_queue
from worker.domain.past import Past
from worker.domain.webhook import Endpoint
from worker.ordered.deciding.core import Core
from worker.ordered.deciding.ports import Item, NotNow, Stored
from worker.ordered.deciding.rules import Rules

DEAD, WELL = "dead", "well"


class Receivers:
    """What both replicas POST to: `posts` in the order of their beginning."""

    def __init__(self) -> None:
        self.posts: list[str] = []
        self.ended: set[str] = set()
        self.down: set[str] = set()

    def firsts(self, endpoint: str) -> list[int]:
        """The numbers of an endpoint's events in the order of their first arrival."""
        found = dict.fromkeys(post for post in self.posts if post.startswith(endpoint))
        return [int(post.rpartition("/")[2]) for post in found]


class SimpleDeliveries:
    """The simplest handling of events: `{"endpoint", "key", "number"}`."""

    def __init__(self, receivers: Receivers) -> None:
        self._receivers = receivers
        self._tasks = Tasks()
        self._live: set[int] = set()

    def took(self, core: Core, message: TakenMessage) -> None:
        core.took(self._item(message))

    def stored(self, core: Core, message: TakenMessage, stored: Stored) -> Item:
        item = self._item(message)
        assert (stored.id, stored.key) == (item.id, item.key)
        return item

    def first_seen(self, item: Item) -> float:
        return 0.0

    def _item(self, message: TakenMessage) -> Item:
        event = json.loads(message.body)
        name = f"{event['endpoint']}/{event['number']}"
        endpoint = Endpoint("acme", event["endpoint"])
        return Item(name, endpoint, event["key"], message, size=len(message.body), again=message.redelivered)

    def attempt(self, core: Core, item: Item) -> NotNow | None:
        if item.endpoint.webhook_id in self._receivers.down:
            return NotNow(0.5, down=True)
        self._receivers.posts.append(item.id)
        self._tasks.start(self._post(core, item))
        return None

    async def _post(self, core: Core, item: Item) -> None:
        await asyncio.sleep(0)
        if item.endpoint.webhook_id in self._receivers.down:
            core.failed(item, answered=False)
            return
        self._receivers.ended.add(item.id)
        core.ended(item, succeeded=True)

    def give_up(self, core: Core, item: Item) -> None:
        raise AssertionError(f"{item.id} was given up")

    def settle(self, item: Item) -> None:
        assert isinstance(item.token, TakenMessage)
        item.token.ack()

    def content(self, item: Item) -> tuple[bytes, Past]:
        assert isinstance(item.token, TakenMessage)
        return item.token.body, Past(item.id, 0.0, "", "")

    def forget(self, core: Core) -> None:
        assert not core.over, "what has been answered is told to it first"


class Replica:
    """One replica's ordered side: its two connections, each under its supervisor."""

    def __init__(self, uri: str, names: Names, receivers: Receivers, *, cuts: bool = True) -> None:
        self._publishing = KeptConnection()

        async def prepare(connection: object) -> None:
            await declare_one(connection, ordered_queue(names.prefix), declares=True)  # type: ignore[arg-type]
            channel = await open_channel(connection)  # type: ignore[arg-type]
            await declare_exchange(channel, names.config, "fanout")
            await channel.close()

        self.client = OrderedClient(
            names.prefix,
            SimpleDeliveries(receivers),
            prepare,
            lambda: self._publishing.current,
            lambda: False,
            Rules(prefetch=100),
            declares=True,
        )
        publish = Supervisor(uri, "test publish", self._publishing, lambda low, high: low, cuts=cuts)
        consume = Supervisor(quick(uri), "test ordered", self.client, lambda low, high: low, cuts=cuts)
        self.tasks = [asyncio.create_task(publish.run()), asyncio.create_task(consume.run())]

    async def kill(self, proxy: Proxy) -> None:
        """As kill -9 does: its sockets close, and nothing is said before."""
        for name in ("ordered", "publish"):
            proxy.refuse(f"test {name}")
        await end(*self.tasks)
        for name in ("ordered", "publish"):
            proxy.allow(f"test {name}")


MakeReplica = Callable[..., Replica]


@pytest.fixture
async def receivers() -> Receivers:
    return Receivers()


@pytest.fixture
async def replica(broker: LocalBroker, names: Names, receivers: Receivers, amqp: Amqp) -> AsyncIterator[MakeReplica]:
    made: list[Replica] = []

    def make(uri: str = broker.uri, *, cuts: bool = True) -> Replica:
        made.append(Replica(uri, names, receivers, cuts=cuts))
        return made[-1]

    yield make
    for one in made:
        await end(*one.tasks)
    for name in [ordered_queue(names.prefix).name, *(f"{names.prefix}.ordered.{number}" for number in range(1, 6))]:
        with suppress(Exception):
            channel = await amqp.connection.channel()
            await channel.queue_delete(name)


async def publish(amqp: Amqp, names: Names, endpoint: str, *numbers: int, key: str = "chat") -> None:
    for number in numbers:
        body = json.dumps({"endpoint": endpoint, "key": key, "number": number}).encode()
        await amqp.publish("", f"{names.prefix}.ordered", body)


async def test_a_dead_endpoint_waits_in_a_siding_and_comes_back_in_order_while_others_go_on(
    replica: MakeReplica, receivers: Receivers, amqp: Amqp, names: Names
) -> None:
    first = replica()
    await until(lambda: first.client.active, "one is active")
    receivers.down.add(DEAD)
    await publish(amqp, names, DEAD, *range(1, 31))
    await publish(amqp, names, WELL, *range(1, 31))
    await until(lambda: first.client.sidings == 1, "it is sided")
    await until(lambda: receivers.firsts(WELL) == list(range(1, 31)), "the other one gets all of its own")
    await amqp.wait_depth(f"{names.prefix}.ordered", 0)
    told = await overheard(amqp.connection, names.config, 10.0)
    assert told is not None
    assert told.oldest_in == 1
    receivers.down.clear()
    await publish(amqp, names, DEAD, *range(31, 41))
    await until(lambda: receivers.firsts(DEAD) == list(range(1, 41)), f"all in order: {receivers.firsts(DEAD)}")
    await until(lambda: first.client.sidings == 0, "the siding is given back")


async def test_when_the_active_one_is_killed_the_other_finds_the_siding_without_any_fresh_event(
    replica: MakeReplica, receivers: Receivers, amqp: Amqp, names: Names, broker: LocalBroker
) -> None:
    async with Proxy(broker.port) as proxy:
        await _takeover(replica, receivers, amqp, names, proxy)


async def _takeover(replica: MakeReplica, receivers: Receivers, amqp: Amqp, names: Names, proxy: Proxy) -> None:
    first = replica(proxy.uri())
    await until(lambda: first.client.active, "one is active")
    second = replica()
    receivers.down.add(DEAD)
    await publish(amqp, names, DEAD, *range(1, 16))
    await until(lambda: first.client.sidings == 1, "it is sided")
    await amqp.wait_depth(f"{names.prefix}.ordered", 0)
    await until(lambda: first.client.waiting == 15, "all of it is in the siding")
    assert not second.client.active
    loop = asyncio.get_running_loop()
    await first.kill(proxy)
    killed = loop.time()
    await until(lambda: second.client.active, "the other one is active")
    assert loop.time() - killed < 5.0
    assert second.client.sidings == 1
    receivers.down.clear()
    await until(lambda: receivers.firsts(DEAD) == list(range(1, 16)), f"all in order: {receivers.firsts(DEAD)}")


async def test_a_drain_passes_everything_on_at_once(
    replica: MakeReplica, receivers: Receivers, amqp: Amqp, names: Names
) -> None:
    first = replica()
    await until(lambda: first.client.active, "one is active")
    second = replica(cuts=False)  # the plain way, as after something that the cutter has not understood
    receivers.down.add(DEAD)
    await publish(amqp, names, DEAD, *range(1, 11))
    await until(lambda: first.client.sidings == 1, "it is sided")
    await first.client.drain(5.0)
    await end(*first.tasks)
    await until(lambda: second.client.active, "the other one is active")
    receivers.down.clear()
    await publish(amqp, names, DEAD, 11)
    await until(lambda: receivers.firsts(DEAD) == list(range(1, 12)), f"all in order: {receivers.firsts(DEAD)}")

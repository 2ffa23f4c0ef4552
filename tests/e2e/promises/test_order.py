"""A chat's messages arrive as they were said: through failures, outages and the death of a replica."""

from __future__ import annotations

import asyncio
import json

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.receiver import Receiver
from tests.support.waiting import eventually
from worker.domain.webhook import RateLimit, Webhook

ORDER = {"ORDER": "true", "BREAKER_FAILURES": "2", "BREAKER_OPEN_SECONDS": "2", "EGRESS_ALLOW": "127.0.0.0/8"}
CHATS = ("5511@s.whatsapp.net", "5522@s.whatsapp.net")


def message(number: int, chat: str = CHATS[0]) -> bytes:
    data = {"key": {"remoteJid": chat, "id": f"{chat}-{number}"}, "number": number}
    return json.dumps({"event": "messages.upsert", "instance": "acme", "data": data}, separators=(",", ":")).encode()


def firsts(receiver: Receiver, path: str, chat: str = CHATS[0]) -> list[int]:
    """The numbers of a chat's messages in the order of their first arrival."""
    bodies = [request.json()["data"] for request in receiver.at(path)]
    return list(dict.fromkeys(data["number"] for data in bodies if data["key"]["remoteJid"] == chat))


async def all_of(receiver: Receiver, path: str, count: int, chat: str = CHATS[0], seconds: float = 40.0) -> None:
    async def ask() -> list[int]:
        return firsts(receiver, path, chat)

    wanted = list(range(1, count + 1))
    await eventually(ask, lambda got: got == wanted or len(got) == count, seconds, f"all of {path}")
    assert firsts(receiver, path, chat) == wanted


async def test_a_message_that_fails_holds_its_chat_alone(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    await webhooks(Webhook("acme", receiver.url("/bot"), order="chat"), Webhook("acme", receiver.url("/log"), id="log"))
    receiver.answer("/bot", 200, 500, 500)
    daemon = await worker(**ORDER)
    await publish(*(message(number) for number in range(1, 6)))
    await publish(*(message(number, CHATS[1]) for number in range(1, 6)))
    await all_of(receiver, "/bot", 5)
    await all_of(receiver, "/bot", 5, CHATS[1])
    posts = [request.header("webhook-attempt") for request in receiver.at("/bot")]
    assert sorted(posts, reverse=True)[:2] in (["3", "2"], ["2", "2"]), "in place, each attempt charged"
    assert len(receiver.at("/log")) == 10, "the unordered webhook gets each event once"
    await daemon.wait_metric("deliveries_total", 20, outcome="Delivered")
    assert await daemon.metric("deliveries_started_total") == 20
    assert await amqp.depth(names.retries) == 0


async def test_a_receiver_that_is_down_gets_everything_in_order_when_it_is_back(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver
) -> None:
    await webhooks(
        Webhook("acme", receiver.url("/bot"), order="chat"),
        Webhook("acme", receiver.url("/well"), id="well", order="instance"),
    )
    receiver.always("/bot", 503)
    # Opened by the first failure, the circuit is still open when the next attempt is due, a second later.
    daemon = await worker(**{**ORDER, "BREAKER_FAILURES": "1", "BREAKER_OPEN_SECONDS": "3"})
    await publish(*(message(number) for number in range(1, 31)))
    await all_of(receiver, "/well", 30)
    await daemon.wait_metric("ordered_sidings", 1)
    receiver.always("/bot", 200)
    before = len(receiver.at("/bot"))
    await publish(message(31))
    await eventually_well(receiver, "/bot", before, 31)


async def eventually_well(receiver: Receiver, path: str, before: int, count: int) -> None:
    """All that came since then, in order."""

    async def ask() -> list[int]:
        numbers = [request.json()["data"]["number"] for request in receiver.at(path)[before:]]
        return list(dict.fromkeys(numbers))

    got = await eventually(ask, lambda numbers: len(numbers) == count, 60.0, "all of it")
    assert got == list(range(1, count + 1))


async def test_what_the_ordered_queue_never_got_is_sent_by_the_other_side(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    """A letter that RabbitMQ made of a whole event, and an event that was published past the exchange."""
    await webhooks(Webhook("acme", receiver.url("/bot"), order="chat"))
    daemon = await worker(**ORDER)
    await publish(message(1))
    await all_of(receiver, "/bot", 1)
    death = {"reason": "delivery_limit", "exchange": names.exchange, "routing-keys": ["messages.upsert"], "count": 1}
    await amqp.publish("", names.dead, message(2), message_id="letter", headers={"x-death": [death]})
    redrive = await worker(arguments=("dead", "redrive", "--all"), ready=False)
    assert await redrive.wait() == 0
    await all_of(receiver, "/bot", 2)
    await amqp.publish("", names.events, message(3), message_id="by hand")
    await all_of(receiver, "/bot", 3)
    await daemon.wait_metric("deliveries_total", 3, outcome="Delivered")


async def test_however_deep_an_event_is_nested_it_is_sent_or_a_dead_letter(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver, amqp: Amqp, names: Names
) -> None:
    """Also where one side's parser ends before the other's, which leaves it to that one."""
    await webhooks(Webhook("acme", receiver.url("/bot"), order="chat"))
    await worker(**ORDER)
    bodies = {levels: event(raw_data=b"[" * levels + b"]" * levels) for levels in (900, *range(970, 996), 2000)}
    await publish(*bodies.values())
    await receiver.wait_for(1, path="/bot")
    letters: set[bytes] = set()

    async def ended() -> set[int]:
        letters.update([letter.body for letter in await amqp.drain(names.dead)])
        return posted() | {levels for levels, body in bodies.items() if body in letters}

    def posted() -> set[int]:
        return {request.body.count(b"[") for request in receiver.at("/bot")}

    await eventually(ended, lambda levels: levels == set(bodies), 20.0, "each is sent or a letter")
    assert 900 in posted()
    assert 2000 not in posted()


async def test_when_the_active_replica_is_killed_the_other_goes_on_in_order(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver
) -> None:
    await webhooks(Webhook("acme", receiver.url("/bot"), order="chat", rate_limit=RateLimit(40, 1)))
    first = await worker(**ORDER)
    second = await worker(**ORDER)  # behind the first one, which is RabbitMQ's single active consumer
    await first.wait_metric("ordered_active", 1)
    await publish(*(message(number) for number in range(1, 61)))
    await receiver.wait_for(15, path="/bot")
    await first.kill()
    killed = asyncio.get_running_loop().time()
    await second.wait_metric("ordered_active", 1, timeout=10.0)
    assert asyncio.get_running_loop().time() - killed < 5.0
    await all_of(receiver, "/bot", 60)
    assert len(receiver.at("/bot")) <= 62, "what was under way comes again, and nothing else"

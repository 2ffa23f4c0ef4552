"""A webhook's rate limit holds for the whole deployment: each replica takes its share."""

import pytest

from tests.conftest import StartWorker
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.receiver import Receiver

RATE, BURST, SECONDS = 10, 5, 3


@pytest.mark.timeout(90)
async def test_two_replicas_together_keep_to_one_rate(
    worker: StartWorker, amqp: Amqp, names: Names, receiver: Receiver
) -> None:
    limit = f"{RATE}/{BURST}"
    command = ("webhook", "set", "acme", "--url", receiver.url("/paced"), "--rate-limit", limit)
    assert await (await worker(arguments=command, ready=False)).wait() == 0
    replicas = [await worker(), await worker()]
    for replica in replicas:
        await replica.wait_metric("replicas", 2)
    for number in range(100):
        await amqp.publish_event(names.exchange, "messages.upsert", event(data={"number": number}))
    await receiver.wait_for(BURST, path="/paced")
    began = receiver.at("/paced")[0].at
    await receiver.wait_for(lambda seen: bool(seen) and seen[-1].at > began + SECONDS, timeout=30)
    within = [post for post in receiver.at("/paced") if post.at <= began + SECONDS]
    assert len(within) <= BURST + 1 + RATE * SECONDS, "a replica alone may have a burst of its own of at least one"
    assert len(within) > RATE * SECONDS / 3, "the limit is used, not only kept"

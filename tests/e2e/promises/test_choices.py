"""What a webhook chose with `webhook set` is what its receiver gets."""

import json

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents
from tests.support.events import event
from tests.support.receiver import Receiver


async def test_private_chats_not_from_me_without_base64(
    worker: StartWorker, publish: PublishEvents, receiver: Receiver
) -> None:
    set_ = ("webhook", "set", "acme", "--url", receiver.url("/in"), "--ignore", "groups", "--media", "strip")
    command = (*set_, "--filter", '{"data.key.fromMe": false}')
    assert await (await worker(arguments=command, ready=False)).wait() == 0
    running = await worker()
    chats = [("1203630@g.us", False), ("5511@s.whatsapp.net", True), ("5511@s.whatsapp.net", False)]
    for chat, mine in chats:
        await publish(event(data={"key": {"remoteJid": chat, "fromMe": mine}, "base64": "aGVsbG8="}))
    await running.wait_metric("deliveries_total", 2, outcome="Skipped", reason="filtered")
    await receiver.wait_for(1, path="/in")
    (post,) = receiver.at("/in")
    data = json.loads(post.body)["data"]
    assert data["key"] == {"remoteJid": "5511@s.whatsapp.net", "fromMe": False}
    assert (data["base64"]["omitted"], data["base64"]["bytes"]) == ("base64", 5)

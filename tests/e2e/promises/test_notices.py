"""Notices, as owner and operator get them: signed, tried again, once for all replicas."""

from __future__ import annotations

import asyncio

import orjson
from standardwebhooks import Webhook as Verifier

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.events import event
from tests.support.receiver import Receiver
from worker.domain.webhook import Webhook

SECRET, OPS_SECRET = "whsec_" + "A" * 32, "whsec_" + "B" * 32
FIX = "webhook-worker webhook set --id=default --enabled acme"


async def test_of_two_replicas_one_tells_owner_and_operator_that_a_webhook_is_disabled(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver
) -> None:
    await webhooks(Webhook("acme", receiver.url("/gone"), secrets=(SECRET,), alert_url=receiver.url("/owner")))
    receiver.always("/gone", 410)
    receiver.answer("/owner", 503)
    settings = {
        "OPS_WEBHOOK_URL": receiver.url("/ops"),
        "OPS_WEBHOOK_SECRET": OPS_SECRET,
        "WEBHOOK_RETRY_INITIAL_DELAY_SECONDS": "1",
        "HISTORY": "off",
    }
    replicas = await asyncio.gather(worker(**settings), worker(**settings))
    await publish(*(event(data=number) for number in range(10)))
    owners = await receiver.wait_for(2, path="/owner")
    (operators,) = await receiver.wait_for(1, path="/ops")
    assert [await replica.stop() for replica in replicas] == [0, 0]
    assert (len(receiver.at("/owner")), len(receiver.at("/ops"))) == (2, 1), "one, which was tried again"
    assert len({hit.header("webhook-id") for hit in owners}) == 1
    for hit, secret in ((owners[-1], SECRET), (operators, OPS_SECRET)):
        said = Verifier(secret).verify(hit.body, dict(hit.headers))
        assert said == orjson.loads(hit.body)
        assert (said["type"], said["data"]["instance"], said["data"]["webhook"]) == (
            "webhook.disabled",
            "acme",
            "default",
        )
        assert (said["data"]["reason"], said["data"]["fix"]) == ("the receiver answered 410", FIX)


async def test_an_owner_hears_of_dead_letters_once_although_two_replicas_ask(
    worker: StartWorker, webhooks: PutWebhooks, publish: PublishEvents, receiver: Receiver
) -> None:
    """The operator's wrong address makes a dead letter, and no notice."""
    await webhooks(Webhook("acme", receiver.url("/bad"), alert_url=receiver.url("/owner")))
    receiver.always("/bad", 404)
    receiver.always("/ops", 404)
    replicas = await asyncio.gather(*(worker(OPS_WEBHOOK_URL=receiver.url("/ops")) for _ in range(2)))
    await publish(event())
    (heard,) = await receiver.wait_for(1, path="/owner", timeout=20)
    said = orjson.loads(heard.body)
    assert (said["type"], said["data"]["sample"]["status"]) == ("webhook.dead", 404)
    assert said["data"]["fix"] == "webhook-worker dead redrive --instance=acme --webhook=default"
    assert [await replica.stop() for replica in replicas] == [0, 0]
    assert (len(receiver.at("/owner")), len(receiver.at("/ops"))) == (1, 1)
    receiver.always("/ops", 200)
    resend = ("history", "resend", str(receiver.at("/ops")[0].header("webhook-id")))
    again = await worker(arguments=resend, ready=False, OPS_WEBHOOK_URL=receiver.url("/ops"))
    assert (await again.wait(), len(receiver.at("/ops"))) == (0, 2), "its letter is sent to the address of today"


async def test_an_address_can_be_tried_before_anything_happens(
    worker: StartWorker, webhooks: PutWebhooks, receiver: Receiver
) -> None:
    await webhooks(Webhook("acme", receiver.url("/x"), secrets=(SECRET,), alert_url=receiver.url("/owner")))
    receiver.always("/owner", 503)
    settings = {"OPS_WEBHOOK_URL": receiver.url("/ops"), "OPS_WEBHOOK_SECRET": OPS_SECRET}
    tries = [(("notices", "test"), 0), (("notices", "test", "acme"), 1), (("notices", "test", "shop"), 1)]
    for command, code in tries:
        tried = await worker(arguments=command, ready=False, **settings)
        assert (await tried.wait(), command) == (code, command)
    assert "nobody hears: --alert-url of 'shop'" in tried.output()
    assert [hit.path for hit in receiver.requests] == ["/ops", "/owner"]
    for hit, secret in zip(receiver.requests, (OPS_SECRET, SECRET), strict=True):
        said = Verifier(secret).verify(hit.body, dict(hit.headers))
        assert (said["type"], said["data"]["fix"]) == ("notice.test", "webhook-worker doctor")

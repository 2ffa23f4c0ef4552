"""Promise 8 beneath our own code: a message that the client library refuses to decode costs nobody but itself."""

from __future__ import annotations

import argparse
import io
import json
from typing import Any

from tests.conftest import StartWorker
from tests.e2e.conftest import PublishEvents, PutWebhooks
from tests.support.amqp import Amqp, Names
from tests.support.events import event
from tests.support.local_broker import LocalBroker
from tests.support.raw_frames import UNDECODABLE, publish_undecodable
from tests.support.receiver import Receiver
from worker.cli.dead_arguments import add_arguments
from worker.cli.dead_commands import Console, run
from worker.domain.webhook import Webhook


async def test_what_no_client_can_decode_is_an_event_or_a_letter_like_any_other(
    worker: StartWorker,
    webhooks: PutWebhooks,
    publish: PublishEvents,
    receiver: Receiver,
    amqp: Amqp,
    broker: LocalBroker,
    names: Names,
) -> None:
    await webhooks(Webhook("acme", receiver.url("/acme")))
    daemon = await worker()
    for number, (what, arguments) in enumerate(UNDECODABLE.items()):
        await publish_undecodable(amqp.connection, names.exchange, event(data=what), **arguments)
        await publish_undecodable(amqp.connection, names.exchange, b"no event: %d" % number, **arguments)
        await publish(event(data=f"after the {what}"))
    posts = await receiver.wait_for(2 * len(UNDECODABLE))
    assert sorted(post.json()["data"] for post in posts) == sorted(
        [*UNDECODABLE, *(f"after the {w}" for w in UNDECODABLE)]
    )
    await daemon.wait_metric("deliveries_total", len(UNDECODABLE), outcome="DeadLettered", reason="invalid_event")
    assert await daemon.metric("broker_reconnects_total") == 0
    # And straight into the queue of the letters, as a broker that gives messages up would move them there.
    for arguments in UNDECODABLE.values():
        headers_only = {name: value for name, value in arguments.items() if name != "key"}
        await publish_undecodable(amqp.connection, "", b"moved", key=names.dead, **headers_only)
    reasons = [letter["reason"] for letter in await dead_list(broker, names)]
    assert sorted(reasons) == ["invalid_event"] * len(UNDECODABLE) + ["unknown"] * len(UNDECODABLE)


async def dead_list(broker: LocalBroker, names: Names) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser()
    add_arguments(parser.add_subparsers())
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    arguments = parser.parse_args(["dead", "list", "--json"])
    assert await run(arguments, broker.uri, names.prefix, Console(out, io.StringIO())) == 0
    out.flush()
    letters: list[dict[str, Any]] = json.loads(out.buffer.getvalue())
    return letters

"""A test event: what it says, the request it becomes, and what came of it."""

from dataclasses import dataclass

import orjson

from worker import __version__
from worker.basics.moments import iso
from worker.domain import evolution_go
from worker.domain.event import identity, parse
from worker.domain.names import WIRE_NAMES
from worker.domain.past import Past
from worker.domain.request.build import Request, build
from worker.domain.routing import Delivery, delivery_id
from worker.domain.target import target_of
from worker.domain.webhook import Webhook

KIND = "APPLICATION_STARTUP"
"""The event of a test that names none: receivers take it for news of the gateway, never for a chat message."""


@dataclass(frozen=True, slots=True)
class WebhookTest:
    """What became of it: the receiver's answer (`body`: its first bytes), or why there is none."""

    status: int | None
    milliseconds: float
    body: bytes = b""
    error: str | None = None


def event_of_test(instance: str, kind: str, now: float) -> bytes:
    """An event of this canonical name, which must be COUNTED, in the envelope of the Evolution that publishes it.

    `data` says that it is a test. `now`: Unix time in seconds.
    """
    data = {"test": True, "message": f"a test by evolution-webhook-worker {__version__}"}
    if kind not in WIRE_NAMES:
        return orjson.dumps({"data": data, "event": evolution_go.WIRE_NAMES[kind], "instanceName": instance})
    return orjson.dumps({"event": WIRE_NAMES[kind], "instance": instance, "data": data, "date_time": iso(now)})


def request_of_test(webhook: Webhook, body: bytes, now: float) -> Request:
    """Built and signed like any delivery's, whether the webhook wants the event or not.

    Raises InvalidEvent, BadUrl, NotSendable.
    """
    event = parse(body)
    event_id = identity(body, None)
    delivery = Delivery(
        id=delivery_id(event_id, event.instance, webhook.id),
        event=event,
        webhook=webhook,
        target=target_of(webhook.url, event.kind) if webhook.by_events else target_of(webhook.url),
        destination=target_of(webhook.url).url,
        past=Past(event_id, now, "", "", webhook.id),
    )
    return build(delivery, now)

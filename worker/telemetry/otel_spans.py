"""What spans say, by OpenTelemetry's semantic conventions (RabbitMQ, HTTP client spans).

Texts are made encodable: one unpaired surrogate would spoil the export of a whole batch.
"""

from collections.abc import Mapping

from opentelemetry.trace import Span, Status, StatusCode

from worker.delivery.ports import Message
from worker.domain.past import sendable
from worker.domain.record import Record
from worker.domain.routing import Delivery
from worker.domain.target import Target
from worker.domain.verdict import Answered, Result

Facts = Mapping[str, str | int]


def of_message(message: Message) -> Facts:
    key, queue = message.routing_key, message.queue
    parts = (message.exchange, key, queue if queue != key else "")
    facts: dict[str, str | int] = {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": sendable(":".join(filter(None, parts))),
        "messaging.message.body.size": len(message.body),
    }
    if key:
        facts["messaging.rabbitmq.destination.routing_key"] = sendable(key)
    if message.message_id:
        facts["messaging.message.id"] = sendable(message.message_id)
    return facts


def of_delivery(delivery: Delivery) -> Facts:
    facts: dict[str, str | int] = {
        "webhook.id": delivery.webhook.id,
        "webhook.delivery.id": delivery.id,
        "webhook.instance": sendable(delivery.event.instance),
        "webhook.event": sendable(delivery.event.name),
        "webhook.attempt": delivery.attempt,
    }
    if delivery.attempt > 1:
        facts["http.request.resend_count"] = delivery.attempt - 1
    return facts


def of_request(target: Target) -> Facts:
    """The path stays, credentials, query and fragment go."""
    host, port = target.place
    return {
        "http.request.method": "POST",
        "server.address": sendable(host),
        "server.port": port,
        "url.full": sendable(target.bare),
    }


def of_result(span: Span, result: Result) -> None:
    if isinstance(result, Answered):
        span.set_attribute("http.response.status_code", result.status)
        if not 200 <= result.status < 300:  # a redirect too: it is not followed
            span.set_attribute("error.type", str(result.status))
            span.set_status(StatusCode.ERROR)
    else:
        span.set_attribute("error.type", result.failure.value)
        span.set_status(Status(StatusCode.ERROR, sendable(result.error)))


def outcome_of(record: Record) -> Facts:
    """As in the log line; for a webhook's delivery also whose it is."""
    facts = {
        "webhook.id": record.webhook,
        "webhook.instance": record.instance,
        "webhook.event": record.event,
        "webhook.outcome": type(record.outcome).__name__,
        "webhook.reason": record.outcome.reason.value,
    }
    return {name: sendable(value) for name, value in facts.items() if value is not None}

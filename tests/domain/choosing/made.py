"""Choices read and compiled as the worker does, for tests that need one answer."""

import json
from pathlib import Path
from typing import Any

from worker.domain.choosing.choices import Choices
from worker.domain.choosing.document import read_filter
from worker.domain.choosing.plan import Plan, plan_for
from worker.domain.choosing.subscriptions import choices_of
from worker.domain.event import Event, parse
from worker.domain.webhook import Webhook
from worker.webhooks.fields import InvalidWebhook, webhook_from

VECTORS = Path(__file__).parent.parent.parent / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def event_of(value: object) -> Event:
    return parse(json.dumps(value, separators=(",", ":")).encode())


def event_with(data: object) -> Event:
    return event_of({"event": "messages.upsert", "instance": "acme", "data": data})


def raw_event(data: bytes) -> Event:
    return parse(b'{"event":"messages.upsert","instance":"acme","data":' + data + b"}")


def webhook_with(fields: dict[str, object]) -> Webhook:
    """As any of the ways in which webhooks are set makes it. Raises InvalidWebhook."""
    return webhook_from({"instance": "acme", "url": "https://h.example/", **fields})


def chosen(fields: dict[str, object]) -> Choices | None:
    """None: such a webhook cannot be set."""
    try:
        return choices_of(webhook_with(fields))
    except InvalidWebhook:
        return None


def plan_of(fields: dict[str, object]) -> Plan[str] | None:
    """A filter alone is compiled as it stands: numbers of any length mean what they say, though none is stored."""
    if fields.keys() == {"filter"}:
        group, problems = read_filter(fields["filter"])
        assert group is not None, problems
        return plan_for({"w": Choices(filter=group)})
    return plan_for({"w": choices_of(webhook_with(fields))})


def told(event: Event, choices: dict[str, object]) -> str | None:
    """The clause that decided, in words; None: the event passes. The two ways to ask must agree."""
    plan = plan_of(choices)
    if plan is None:
        return None
    view = plan.read(event.fields)
    words, clause = plan.explain("w", view), plan.refusal("w", view)
    assert (words is None) == (clause is None)
    return words


def passes(event: Event, filter_: object) -> bool:
    return told(event, {"filter": filter_}) is None

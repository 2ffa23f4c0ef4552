"""Choices read and compiled as the worker does, for tests that need one answer."""

import json
from pathlib import Path
from typing import Any

from worker.domain.choosing.choices import read_choices
from worker.domain.choosing.plan import Plan, plan_for
from worker.domain.event import Event, parse

VECTORS = Path(__file__).parent.parent.parent / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def event_of(value: object) -> Event:
    return parse(json.dumps(value, separators=(",", ":")).encode())


def event_with(data: object) -> Event:
    return event_of({"event": "messages.upsert", "instance": "acme", "data": data})


def raw_event(data: bytes) -> Event:
    return parse(b'{"event":"messages.upsert","instance":"acme","data":' + data + b"}")


def plan_of(choices: dict[str, object]) -> Plan[str] | None:
    read, problems = read_choices(choices)
    assert read is not None, problems
    return plan_for({"w": read})


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

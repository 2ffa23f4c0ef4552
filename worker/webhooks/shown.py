"""How webhooks are shown to people and in --json: header values, secrets and URL credentials masked."""

from collections.abc import Sequence

from worker.basics.masking import without_credentials
from worker.basics.moments import iso
from worker.basics.printable import printable
from worker.domain.explain import Explained
from worker.domain.outcome import Skipped
from worker.domain.webhook import Webhook
from worker.domain.webhook_test import WebhookTest
from worker.webhooks.declaration import BY_NAME, CHOICES, FIELDS
from worker.webhooks.kind import json_text
from worker.webhooks.store import Stored

Shown = dict[str, object]
"""Field name -> value, in the names that `webhook set` takes."""


_FIRST = (
    "instance",
    "id",
    "enabled",
    "disabled_reason",
    "disabled_at",
    "paused_at",
    "order_next",
    "order_switch_at",
    "url",
    "by_events",
    "events",
    "headers",
    "secrets",
)
"""What people look for first. All other fields follow in the order of their declaration."""


_MOMENTS = ("disabled_at", "paused_at", "order_switch_at")


def shown(webhook: Webhook) -> Shown:
    """Every field, in the names that `set` takes, without secrets."""
    until = webhook.old_secret_until
    found: Shown = {field.name: field.shown_in(webhook) for field in FIELDS}
    found["disabled_reason"] = webhook.disabled_reason
    found["order_next"] = webhook.order_next
    found |= {name: _moment(getattr(webhook, name)) for name in _MOMENTS}
    found["old_secret_until"] = None if until is None else iso(until)
    return {name: found[name] for name in dict.fromkeys((*_FIRST, "old_secret_until", *found))}


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else iso(milliseconds / 1000)


TABLE_COLUMNS = ("instance", "id", "enabled", "url", "by_events", "events")


def table(webhooks: Sequence[Shown]) -> str:
    """A readable table, one webhook a line."""
    rows = [[_cell(webhook, column) for column in TABLE_COLUMNS] for webhook in webhooks]
    rows.insert(0, [column.upper() for column in TABLE_COLUMNS])
    widths = [max(len(row[index]) for row in rows) for index in range(len(TABLE_COLUMNS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


MOST_SHOWN = 20
"""Words of a list in a line."""


def choices_line(webhook: Shown) -> str | None:
    """`default chooses: ignore groups,status; media strip`; None: it hears all of each event."""
    chosen = [(BY_NAME[name], webhook[name]) for name in CHOICES]
    words = "; ".join(f"{field.name} {_in_words(value)}" for field, value in chosen if value and value != field.default)
    return printable(f"{webhook['id']} chooses: {words}") if words else None


def _in_words(value: object) -> str:
    match value:
        case [*items]:
            more = f" and {len(items) - MOST_SHOWN} more" if len(items) > MOST_SHOWN else ""
            return ",".join(map(str, items[:MOST_SHOWN])) + more
        case dict():
            return json_text(value)
    return str(value)


def _cell(webhook: Shown, column: str) -> str:
    return printable(_plain_cell(webhook, column))


def _plain_cell(webhook: Shown, column: str) -> str:
    value = webhook[column]
    match value:
        case bool():
            reason = _state(webhook) if column == "enabled" else None
            return ("yes" if value else "no") + (f" ({reason})" if reason else "")
        case list():
            return ",".join(map(str, value)) or "all"
    return str(value)


def _state(webhook: Shown) -> object:
    disabled, paused = webhook["disabled_at"], webhook["paused_at"]
    told = [webhook["disabled_reason"], disabled and f"disabled at {disabled}", paused and f"paused since {paused}"]
    return ", ".join(map(str, filter(None, told))) or None


def shown_stored(item: Stored) -> Shown:
    times = {"created_at": iso(item.created_at / 1000), "updated_at": iso(item.updated_at / 1000)}
    return {**shown(item.webhook), "revision": item.revision, **times}


def shown_explained(found: Explained) -> Shown:
    """`would`: send, skip or dead_letter; `why`: the clause that decided."""
    outcome = found.outcome
    return {
        "instance": found.webhook.instance,
        "id": found.webhook.id,
        "url": without_credentials(found.webhook.url),
        "would": "send" if outcome is None else "skip" if isinstance(outcome, Skipped) else "dead_letter",
        "reason": None if outcome is None else outcome.reason.value,
        "why": found.why,
        "body_bytes": found.body_bytes,
        "unless": list(found.unless),
        "notes": list(found.notes),
    }


def explained_line(found: Explained) -> str:
    """`default: skip (filtered): filter.data.key.fromMe: true is not false`"""
    facts = shown_explained(found)
    notes = "".join(f"; {note}" for note in found.notes)
    if found.outcome is None:
        unless = "".join(f", unless {each}" for each in found.unless)
        return f"{facts['id']}: send to {facts['url']}, {found.body_bytes} bytes{unless}{notes}"
    return f"{facts['id']}: {facts['would']} ({facts['reason']})" + (f": {found.why}" if found.why else "") + notes


def shown_test(webhook: Webhook, event: str, trial: WebhookTest) -> Shown:
    """What came of a test event; `ok`: the receiver took it."""
    return {
        "instance": webhook.instance,
        "id": webhook.id,
        "url": without_credentials(webhook.url),
        "event": event,
        "signed": bool(webhook.secrets),
        "ok": trial.status is not None and 200 <= trial.status < 300,
        "status": trial.status,
        "milliseconds": round(trial.milliseconds, 1),
        "body": trial.body.decode(errors="replace"),
        "error": trial.error,
    }

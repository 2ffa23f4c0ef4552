"""What the API answers about a webhook: in the caller's dialect after a set, else readable by all of them."""

from collections.abc import Sequence

from worker.api.dialects import Style
from worker.domain.webhook import Webhook
from worker.webhooks.declaration import BY_NAME, FIELDS, RESPELLED
from worker.webhooks.shown import Shown, shown, shown_stored
from worker.webhooks.store import Stored

EVOLUTIONS = {
    name: known.v20 if (known := BY_NAME[name].evolution) else name
    for name in ("id", "url", "headers", "enabled", "events", "by_events", "base64")
}
"""The fields of Evolution 2.x's object, in its order, by our names: what it calls them."""

OURS = tuple(field.name for field in FIELDS if field.name not in EVOLUTIONS)
"""The fields that follow, by their own names."""


def after_set(style: Style, webhook: Webhook, stored: Stored | None) -> Shown:
    """`stored` has the times; None: somebody deleted it meanwhile."""
    found = shown(webhook)
    if style is Style.V2:
        return _object(found, stored)
    keys = ("enabled", "url", "events")
    inner = {**{key: found[key] for key in keys}, "webhook_by_events": found["by_events"]}
    return {"webhook": {"instanceName": webhook.instance, "webhook": inner}}


def with_notes(answer: Shown, warnings: Sequence[str], new_secret: str | None) -> Shown:
    """Adds `warnings`, and `secret` the one time that it is shown."""
    notes: Shown = {"warnings": list(warnings)} if warnings else {}
    return {**answer, **notes, **({"secret": new_secret} if new_secret else {})}


def superset(stored: Stored) -> Shown:
    """One object that clients of 1.x and of 2.x can read."""
    found = shown(stored.webhook)
    both = {spelling.v1: found[name] for name, spelling in RESPELLED.items()}
    return {**_object(found, stored), **both}


def nothing_set(instance: str) -> Shown:
    """1.x answers an object that says so, 2.x null. Its clients ask for `enabled`, which an object survives."""
    return superset(Stored(Webhook(instance, "", enabled=False), 0, 0, 0)) | {"createdAt": None, "updatedAt": None}


def _object(found: Shown, stored: Stored | None) -> Shown:
    times = shown_stored(stored) if stored else {"created_at": None, "updated_at": None}
    return {
        **{answered: found[name] for name, answered in EVOLUTIONS.items()},
        "createdAt": times["created_at"],
        "updatedAt": times["updated_at"],
        "instanceId": found["instance"],
        **{name: found[name] for name in OURS},
        "disabled_reason": found["disabled_reason"],
        "disabled_at": found["disabled_at"],
        "paused_at": found["paused_at"],
        "order_next": found["order_next"],
        "order_switch_at": found["order_switch_at"],
    }

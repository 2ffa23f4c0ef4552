"""What the API answers about a webhook: in the caller's dialect after a set, else readable by all of them."""

from collections.abc import Sequence

from worker.api.dialects import Style
from worker.domain.webhook import Webhook
from worker.webhooks.shown import Shown, shown, shown_stored
from worker.webhooks.store import Stored


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
    both = {"webhook_by_events": found["by_events"], "webhook_base64": found["base64"]}
    return {**_object(found, stored), **both}


def nothing_set(instance: str) -> Shown:
    """1.x answers an object that says so, 2.x null. Its clients ask for `enabled`, which an object survives."""
    return superset(Stored(Webhook(instance, "", enabled=False), 0, 0, 0)) | {"createdAt": None, "updatedAt": None}


def _object(found: Shown, stored: Stored | None) -> Shown:
    times = shown_stored(stored) if stored else {"created_at": None, "updated_at": None}
    names = ("secrets", "timeout_ms", "concurrency", "rate_limit", "disabled_reason")
    return {
        "id": found["id"],
        "url": found["url"],
        "headers": found["headers"],
        "enabled": found["enabled"],
        "events": found["events"],
        "webhookByEvents": found["by_events"],
        "webhookBase64": found["base64"],
        "createdAt": times["created_at"],
        "updatedAt": times["updated_at"],
        "instanceId": found["instance"],
        "instance": found["instance"],
        **{name: found[name] for name in names},
    }

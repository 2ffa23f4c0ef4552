"""Who hears notices: the operator (OPS_WEBHOOK_URL), and the owner of a webhook with an `alert_url`.

Each is a webhook of ours, which no store has, so that retries, dead letters, signature, circuit breaker and egress
rules are those of every delivery.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from worker.domain.notices.formats import Format, format_of
from worker.domain.target import parsed
from worker.domain.webhook import Webhook

PREFIX = "notice:"
"""Of their ids. No webhook's id has a colon."""

OPERATOR = f"{PREFIX}:ops"
"""Of the operator's. No owner's: its second colon is in no id."""


@dataclass(frozen=True, slots=True)
class NoticeReceiver(Webhook):
    """`format` is how it reads them."""

    format: Format = Format.STANDARD


def operator(url: str, secret: str, form: str) -> NoticeReceiver | None:
    """Hears every notice; None: there is no URL. `secret`: as a webhook's, or "". `form`: a Format, or `auto`."""
    if not url:
        return None
    chosen = _format_by(url) if form == "auto" else Format(form)
    return NoticeReceiver("", url, OPERATOR, secrets=(secret,) if secret else (), format=chosen)


def owner_id(webhook_id: str) -> str:
    """The id of the one who hears of the instance's webhook with this id."""
    return PREFIX + webhook_id


def owner(webhook: Webhook) -> NoticeReceiver | None:
    """Who hears of the webhook, enabled or not; None: it has no `alert_url`. Signed with the webhook's own secrets, and
    sent without its headers, which are for its own receiver."""
    if webhook.alert_url is None:
        return None
    return NoticeReceiver(
        webhook.instance,
        webhook.alert_url,
        owner_id(webhook.id),
        secrets=webhook.secrets,
        old_secret_until=webhook.old_secret_until,
        format=_format_by(webhook.alert_url),
    )


def receiver(wanted: str, webhooks: Iterable[Webhook], ops: NoticeReceiver | None) -> NoticeReceiver | None:
    """The receiver of notices with the id `wanted`, where `webhooks` are those of the notice's instance."""
    if wanted == OPERATOR:
        return ops
    return next((owner(webhook) for webhook in webhooks if owner_id(webhook.id) == wanted), None)


def _format_by(url: str) -> Format:
    target = parsed(url)
    sent = target.sent
    return format_of(target.host.rstrip("."), "" if sent is None else sent.raw_path)

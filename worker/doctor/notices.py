"""Notices: who would hear less than its address was set for, and where they go."""

from collections.abc import Sequence

from worker.doctor.finding import Finding, many
from worker.domain.notices.receivers import NoticeReceiver, owner
from worker.domain.webhook import Webhook
from worker.process import wiring
from worker.settings.settings import Settings

NAME = "notices"


def receivers(settings: Settings, webhooks: Sequence[Webhook]) -> list[NoticeReceiver]:
    """All that hear of something, as deliveries know them."""
    return [*filter(None, [wiring.operators_notices(settings), *map(owner, webhooks)])]


def untold(settings: Settings, webhooks: Sequence[Webhook]) -> str | None:
    """What owners are not told of for want of a history; None: all is told, or nobody wants to hear."""
    hearing = sum(webhook.alert_url is not None for webhook in webhooks)
    if settings.history == "all" or not hearing:
        return None
    whose = f"the alert_url of {many(hearing, 'webhook')}"
    if settings.history == "off":
        return (
            f"HISTORY=off: {whose} hears of disabled webhooks only, not of failing ones, dead letters, silent instances"
        )
    return f"HISTORY=failures: {whose} hears of no webhook that fails or recovers"


def finding(settings: Settings, webhooks: Sequence[Webhook]) -> Finding | None:
    """None: nobody hears anything, as is the default."""
    problem = untold(settings, webhooks)
    if problem is not None:
        return Finding("warning", NAME, problem, "HISTORY=all")
    hearing = len(receivers(settings, webhooks))
    return (
        Finding("ok", NAME, f"{many(hearing, 'address hears', 'addresses hear')} of webhooks that fail")
        if hearing
        else None
    )

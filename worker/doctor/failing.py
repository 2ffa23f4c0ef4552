"""Webhooks whose receiver takes nothing, and those that the worker has disabled because of it."""

from collections.abc import Sequence

from worker.basics.moments import iso
from worker.doctor.endpoints import who
from worker.doctor.finding import Finding, many, some
from worker.doctor.history import SECONDS, asked
from worker.domain.notices.remedies import command, of_webhook
from worker.domain.notices.trouble import Trouble
from worker.domain.webhook import Endpoint, Webhook
from worker.settings.settings import Settings
from worker.webhooks.store import StoreUnavailable

NAME, DISABLED = "failing webhooks", "disabled webhooks"


async def failing(settings: Settings, webhooks: Sequence[Webhook]) -> Finding | None:
    """Those of which a notice says so; None: there is none, or nobody can say."""
    if settings.history != "all":
        return None  # what succeeded is not known
    try:
        async with asked(settings) as store:
            found = await store.failing()
    except TimeoutError:
        what = f"the history did not answer within {SECONDS:g} s"
        return Finding("warning", NAME, what, "its database's load and locks")
    except StoreUnavailable:
        return None
    return judged(found, webhooks)


def judged(found: Sequence[Trouble], webhooks: Sequence[Webhook]) -> Finding | None:
    """`found`: the longest first. To one that is disabled or paused nothing is sent, so that nothing can succeed."""
    tried = {Endpoint(one.instance, one.id): one for one in webhooks if one.enabled and one.paused_at is None}
    dead = [(tried[there], one) for one in found if (there := Endpoint(one.key.instance, one.key.webhook)) in tried]
    if not dead:
        return None
    names = tuple(f"{who(webhook)} since {_time(one.since)} ({one.example.reason})" for webhook, one in dead)
    what = f"{many(len(dead), 'webhook gets nothing through', 'webhooks get nothing through')}: {some(names)}"
    first = dead[0][0]
    instance = (f"--instance={first.instance}",) if first.instance else ()
    answers = command("history", "list", *instance, f"--webhook={first.id}")
    return Finding("warning", NAME, what, f"see what its receiver answers: {answers}", names)


def disabled(webhooks: Sequence[Webhook]) -> Finding | None:
    """By the worker, which writes that only into its own table: a 410, or days without a success."""
    found = [webhook for webhook in webhooks if not webhook.enabled and webhook.disabled_reason]
    if not found:
        return None
    names = tuple(f"{who(webhook)} ({_why(webhook)})" for webhook in found)
    what = f"{many(len(found), 'webhook gets', 'webhooks get')} nothing any more: {some(names)}"
    enable = of_webhook("set", found[0].instance, found[0].id, "--enabled")
    return Finding("warning", DISABLED, what, f"once its receiver is back: {enable}", names)


def _why(webhook: Webhook) -> str:
    when = f", disabled at {_time(webhook.disabled_at)}" if webhook.disabled_at else ""
    return f"{webhook.disabled_reason}{when}"


def _time(ms: int) -> str:
    return iso(ms / 1000, "seconds")

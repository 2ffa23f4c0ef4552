"""What would become of an event at each webhook, and why; nothing is sent."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.domain.choosing.problem import in_json
from worker.domain.choosing.slim import cuttable
from worker.domain.choosing.subscriptions import Subscriptions, subscriptions
from worker.domain.choosing.timely import limit_of
from worker.domain.event import Event, identity, parse
from worker.domain.outcome import DeadLettered, Skipped, SkipReason
from worker.domain.past import Past
from worker.domain.request.build import build
from worker.domain.request.not_sendable import NotSendable
from worker.domain.routing import Delivery, addressees, route
from worker.domain.webhook import Webhook


@dataclass(frozen=True, slots=True)
class Explained:
    """`outcome` None: it would be POSTed, with a body of `body_bytes`, `unless` one of these comes true first.

    `why`: the clause that decided, or the error (`filter.data.key.fromMe: true is not false`). `notes`: what else its
    reader should know, for instance that the event was not judged.
    """

    webhook: Webhook
    outcome: Skipped | DeadLettered | None
    why: str | None = None
    body_bytes: int | None = None
    unless: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def explain(
    content: bytes,
    webhooks: Sequence[Webhook],
    operators: Webhook | None,
    now: float,
    *,
    dead_when_disabled: bool = False,
    forward_apikey: bool | None = None,
) -> list[Explained]:
    """For an event as Evolution published it and the webhooks of its instance. Raises InvalidEvent.

    `dead_when_disabled`, `forward_apikey`: see Policy.
    """
    event = parse(content)
    past = Past(identity(content, None), now, "", "")
    known = (subscriptions(webhooks), subscriptions(() if operators is None else (operators,)))
    found = []
    for webhook in addressees(webhooks, operators, None):
        why, notes = _judged(event, webhook, known)
        if why is not None:
            one = Explained(webhook, Skipped(SkipReason.FILTERED), why)
        else:
            routed = route(event, past, webhook, webhooks, dead_when_disabled=dead_when_disabled)
            one = _attempted(routed, now, forward_apikey) if isinstance(routed, Delivery) else _ended(webhook, routed)
        found.append(replace(one, notes=(*_anothers(event, webhook), *one.notes, *notes)))
    return found


def _judged(event: Event, webhook: Webhook, known: Sequence[Subscriptions]) -> tuple[str | None, tuple[str, ...]]:
    """Why its webhook does not hear it, and what to note."""
    if not webhook.enabled or not webhook.wants(event.kind, event.categories):
        return None, ()
    for plan in (each.plan for each in known):
        if plan is not None and plan.judges(webhook.id):
            view = plan.read(event.fields)
            undecided = plan.undecided(webhook.id, view)
            if undecided is not None:
                return None, (f"passes without having been judged: {undecided}",)
            return plan.explain(webhook.id, view), ()
    return None, ()


def _anothers(event: Event, webhook: Webhook) -> tuple[str, ...]:
    if webhook.instance in ("", event.instance):
        return ()
    return (f"the event is of instance {in_json(event.instance)}, so this webhook would never see it",)


def _ended(webhook: Webhook, outcome: Skipped | DeadLettered) -> Explained:
    return Explained(webhook, outcome, outcome.error if isinstance(outcome, DeadLettered) else _words(webhook, outcome))


def _words(webhook: Webhook, outcome: Skipped) -> str | None:
    match outcome.reason:
        case SkipReason.DISABLED:
            return webhook.disabled_reason or "enabled: false"
        case SkipReason.EVENT_NOT_ENABLED:
            return f"events: {', '.join(sorted(webhook.events))}"
        case SkipReason.PAUSED:
            return "it is paused; what comes meanwhile is sent after its resume"
    return None


def _attempted(delivery: Delivery, now: float, forward_apikey: bool | None) -> Explained:
    webhook, kind = delivery.webhook, delivery.event.kind
    try:
        request = build(delivery, now, forward_apikey=forward_apikey)
    except NotSendable as error:
        return _ended(webhook, DeadLettered(error.reason, str(error)))
    limit = limit_of(webhook.ttl_seconds, kind)
    unless = [] if limit is None else [f"it is older than {limit:g} s when its attempt starts (stale)"]
    if kind in webhook.latest_only:
        unless.append("a newer one of its chat is taken before that (superseded)")
    cut = _cut(delivery.event, request.body)
    return Explained(webhook, None, body_bytes=len(request.body), unless=tuple(unless), notes=cut)


def _cut(event: Event, body: bytes) -> tuple[str, ...]:
    """A small picture leaves a longer text behind than it was: the size alone tells nothing."""
    before, after = (cuttable(bytes(each.fields.get("data", b""))) for each in (event, parse(body)))
    media, thumbnails = (was - still for was, still in zip(before, after, strict=True))
    return (f"cut: {media} media, {thumbnails} thumbnails",) if media or thumbnails else ()

"""An instance's webhooks with what they chose, compiled; and what that says of one event."""

from collections.abc import Iterable, Mapping, Sequence
from weakref import WeakValueDictionary

import msgspec

from worker.domain.choosing.chat import Chat
from worker.domain.choosing.choices import IGNORABLE, Choices
from worker.domain.choosing.compiled import Clause
from worker.domain.choosing.document import filter_in
from worker.domain.choosing.plan import ChatOfEvent, Plan, plan_for
from worker.domain.event import Event
from worker.domain.webhook import Webhook

WebhookPlan = Plan[str]
"""By the webhooks' ids."""


class Subscriptions(tuple[Webhook, ...]):
    """The webhooks of one instance, or the operator's. Made by `subscriptions`.

    `looks_into`: one of them wants to know what is in an event. `ordered`: one of them wants its events in order,
    `ordered_alone`: all do, and there is one. False for nearly all, which costs no memory each.
    """

    plan: WebhookPlan | None = None
    looks_into: bool = False
    ordered: bool = False
    ordered_alone: bool = False


class Look(msgspec.Struct, frozen=True):
    """What an event holds for those whom it may go to: by which clause a webhook does not hear it, and its chat."""

    refused: Mapping[str, Clause]
    chat: Chat | None


def subscriptions(webhooks: Iterable[Webhook]) -> Subscriptions:
    """0.2 to 2 ms where a webhook chooses and no other instance's choose the same."""
    made = Subscriptions(webhooks)
    for webhook in made:
        if webhook.chooses:
            made.plan = _plan(made)
            break
    if made.plan is not None or any(webhook.latest_only for webhook in made):
        made.looks_into = True
    if any(webhook.sent_in_order for webhook in made):
        made.ordered = True
        if not any(webhook.sent_as_they_come for webhook in made):
            made.ordered_alone = True
    return made


NOBODY = subscriptions(())

_Chosen = tuple[object, ...]
_plans: WeakValueDictionary[tuple[_Chosen, ...], WebhookPlan] = WeakValueDictionary()
"""Instances that are set up alike share one plan, as long as one of them is remembered."""


def _plan(webhooks: Sequence[Webhook]) -> WebhookPlan | None:
    choosing = [webhook for webhook in webhooks if webhook.chooses]
    key = tuple((hook.id, *_chosen(hook)) for hook in choosing)
    plan = _plans.get(key)
    if plan is None:
        plan = plan_for({webhook.id: choices_of(webhook) for webhook in choosing})
        if plan is not None:
            _plans[key] = plan
    return plan


def _chosen(webhook: Webhook) -> _Chosen:
    return webhook.ignore, webhook.only_chats, webhook.except_chats, webhook.message_types, webhook.filter


def choices_of(webhook: Webhook) -> Choices:
    """Raises ValueError for a filter that cannot be compiled: no store holds one."""
    return Choices(
        tuple(name for name in IGNORABLE if name in webhook.ignore),
        webhook.only_chats,
        webhook.except_chats,
        webhook.message_types,
        None if webhook.filter is None else filter_in(webhook.filter),
    )


_chat_of = ChatOfEvent().one


def look(event: Event, plans: Iterable[WebhookPlan | None], asking: Sequence[Webhook]) -> Look:
    """Decodes an event once for each plan, if one of those `asking` wants to know. Never raises.

    Those that are disabled, or want no event of this kind, do not ask.
    """
    kind, categories, chat = event.kind, event.categories, None
    hearing: list[str] = []
    for webhook in asking:
        if webhook.enabled and webhook.wants(kind, categories):
            hearing.append(webhook.id)
            if chat is None and kind in webhook.latest_only:
                chat = _chat_of(event.fields)
    refused: dict[str, Clause] = {}
    for plan in plans:
        if plan is not None:
            plan.refuse(hearing, event.fields, refused)
    return Look(refused, chat)

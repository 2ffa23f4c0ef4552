"""Delivers a letter that is too large for the broker: one attempt for each webhook, in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from worker.basics.clock import Clock
from worker.delivery.choosing import Choosing
from worker.delivery.ports import Sender
from worker.domain.choosing.subscriptions import subscriptions
from worker.domain.event import Event, InvalidEvent, parse
from worker.domain.outcome import DeadLettered, Delivered, Outcome, Skipped
from worker.domain.past import Past
from worker.domain.policy import Policy
from worker.domain.request.build import build
from worker.domain.request.not_sendable import NotSendable
from worker.domain.routing import Delivery, addressees, route
from worker.domain.verdict import judge
from worker.domain.webhook import Webhook
from worker.webhooks.store import StoreUnavailable

Deliver = Callable[[bytes, Past], Awaitable[Sequence[str]]]
"""POSTs an event to whom it is for. Returns why it is not done with, for each webhook; nothing: the letter is done."""


class DirectDelivery:
    """What `dead redrive` does with a letter that it cannot publish.

    Trade-off: no lane, no circuit and no further attempt. When one of several webhooks fails, the letter stays, and the
    next redrive POSTs to all of them again, with the same webhook-id. Who chose not to hear the event does not; how
    old it is, and whether a newer one came, does not count: somebody asked for this letter.
    """

    def __init__(
        self,
        load: Callable[[str], Awaitable[Sequence[Webhook]]],
        operators: Webhook | None,
        sender: Sender,
        policy: Policy,
        now: Clock,
    ) -> None:
        """`load` gives an instance's webhooks and may raise StoreUnavailable; `operators` is the global webhook."""
        self._load = load
        self._operators = operators
        self._choosing = Choosing(operators, now)
        self._sender = sender
        self._policy = policy
        self._now = now

    async def deliver(self, body: bytes, past: Past) -> list[str]:
        """See Deliver. Never raises for what is wrong with the event, the store or a receiver."""
        try:
            event = parse(body)
            webhooks = await self._load(event.instance)
        except (InvalidEvent, StoreUnavailable) as error:
            return [str(error)]
        wanted = addressees(webhooks, self._operators, past.webhook_id)
        known = await asyncio.to_thread(subscriptions, webhooks)
        seen = await asyncio.to_thread(self._choosing.look, event, wanted, known)
        hearing = [webhook for webhook in wanted if webhook.id not in seen.refused]
        ends = await asyncio.gather(*(self._one(event, past, webhook, webhooks) for webhook in hearing))
        return [problem for problem in ends if problem is not None]

    async def _one(self, event: Event, past: Past, webhook: Webhook, neighbours: Sequence[Webhook]) -> str | None:
        if webhook.paused_at is not None:
            return f"{webhook.id}: it is paused: resume it"
        dead = self._policy.dead_when_disabled
        routed = route(event, past, webhook, neighbours, dead_when_disabled=dead)
        outcome = await self._attempt(routed) if isinstance(routed, Delivery) else routed
        if isinstance(outcome, Delivered | Skipped):
            return None
        error = getattr(outcome, "error", "") or outcome.reason.value
        return f"{webhook.id}: {error}"

    async def _attempt(self, delivery: Delivery) -> Outcome:
        policy = self._policy
        try:
            request = build(delivery, self._now(), forward_apikey=policy.forward_apikey)
        except NotSendable as error:
            return DeadLettered(error.reason, str(error))
        result = await self._sender.send(request, delivery.webhook.timeout(policy.timeout))
        return judge(result, delivery.attempt, policy)

"""Which archived events a webhook is to get: those that it would be sent today. Judged as deliveries are."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from worker.domain.choosing.jid import addresses_meant
from worker.domain.choosing.plan import ChatOfEvent
from worker.domain.choosing.subscriptions import Look, Subscriptions, subscriptions
from worker.domain.event import Event, InvalidEvent, identity, parse
from worker.domain.past import Past
from worker.domain.routing import Delivery, addressees, route
from worker.domain.webhook import Webhook
from worker.replay.archive import Archived
from worker.replay.jobs import Asked

MOST_REMEMBERED = 100_000
"""Ids, for events that came over two exchanges: the copies are archived within moments of each other."""


class Candidate(NamedTuple):
    """An event that the webhook wants. `id` is the delivery's, `event_id` the event's."""

    id: str
    event_id: str
    archived: Archived
    event: Event


class Gone(Exception):
    """The webhook is there no more; the text says what to do."""


class NotNow(Exception):
    """The webhook takes nothing now; the text says why and what to do."""


class Selection:
    """For one job. `look` is delivery.choosing.Choosing's, which judges filters; `operators` the global webhook."""

    def __init__(
        self,
        asked: Asked,
        operators: Webhook | None,
        look: Callable[[Event, Sequence[Webhook], Subscriptions], Look],
    ) -> None:
        self._asked = asked
        self._operators = operators
        self._look = look
        self._chats = None if asked.chat is None else frozenset(addresses_meant(asked.chat))
        self._chat_of = ChatOfEvent()
        self._known = subscriptions(())
        self._webhook: Webhook | None = None
        self._seen: OrderedDict[str, None] = OrderedDict()

    def use(self, webhooks: Sequence[Webhook]) -> Webhook:
        """The instance's webhooks as they are now. Raises Gone, NotNow."""
        wanted = addressees(webhooks, self._operators, self._asked.webhook)
        if not wanted:
            raise Gone(f"the webhook {self._asked.webhook!r} is gone: set it again")
        self._known, self._webhook = subscriptions(webhooks), wanted[0]
        if not self._webhook.enabled:
            raise NotNow("the webhook is disabled: enable it")
        if self._webhook.paused_at is not None:
            raise NotNow("the webhook is paused: resume it, which sends what it missed")
        return self._webhook

    def start_over(self) -> None:
        """The archive is read once more: nothing has been met yet."""
        self._seen.clear()

    def of(self, archived: Archived) -> Candidate | None:
        """None: another instance's, not asked for, not wanted by the webhook, or met before."""
        assert self._webhook is not None
        try:
            event = parse(archived.body)
        except InvalidEvent:
            return None
        if not self._is_asked_for(event):
            return None
        event_id = identity(archived.body, archived.message_id)
        past = Past(event_id, 0, archived.exchange, archived.routing_key)
        routed = route(event, past, self._webhook, self._known)
        if not isinstance(routed, Delivery) or self._refused(event) or not self._is_new(routed.id):
            return None
        return Candidate(routed.id, event_id, archived, event)

    def _is_asked_for(self, event: Event) -> bool:
        asked = self._asked
        if event.instance != asked.instance or (asked.events and event.kind not in asked.events):
            return False
        return self._chats is None or self._is_of_chat(event, self._chats)

    def _is_of_chat(self, event: Event, chats: frozenset[str]) -> bool:
        """Under either of its names, and however large the event is: it was asked for."""
        chat = self._chat_of(event.fields)
        return chat is not None and (chat.jid in chats or chat.other in chats)

    def _refused(self, event: Event) -> bool:
        assert self._webhook is not None
        if not self._webhook.chooses:
            return False
        return self._webhook.id in self._look(event, (self._webhook,), self._known).refused

    def _is_new(self, delivery: str) -> bool:
        if delivery in self._seen:
            return False
        self._seen[delivery] = None
        if len(self._seen) > MOST_REMEMBERED:
            self._seen.popitem(last=False)
        return True

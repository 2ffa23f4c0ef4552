"""Who is subscribed to what, and how each receiver behaves: the configuration that the ledger judges by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.receiver import Answer
from worker.domain.webhook import DEFAULT_ID, UNORDERED, Webhook

KINDS = ("messages.upsert", "contacts.update", "presence.update", "connection.update")
CHATS = 3
"""Of each instance: who says something goes round by the event's number."""

BLOCK_SECONDS = 3
"""For so long a bad event may hold up its chat."""

SLOW_SECONDS = 0.3
"""How long the slow receiver takes: long enough that a kill finds its POSTs under way."""

GONE_FROM = 100
"""The number of the last event before the receiver `gone` says so."""

Behaviour = Callable[[int, int], Answer]
"""(the event's number, how often this delivery was answered before) -> the answer."""


def steady(number: int, before: int) -> Answer:
    return Answer()


def flaky(number: int, before: int) -> Answer:
    """Two of three events fail at first: once or twice, some with a Retry-After."""
    if before >= number % 3:
        return Answer()
    return Answer(503, {"retry-after": "1"}) if number % 5 == 0 else Answer(500)


def down(number: int, before: int) -> Answer:
    return Answer(502)


def poisoned(number: int, before: int) -> Answer:
    """One event in a while is never taken, always of one chat: of two that fail nobody could say who is at fault."""
    return Answer(500) if number % (7 * CHATS) == 0 else Answer()


def refuses_some(number: int, before: int) -> Answer:
    return Answer(404 if number % 3 == 0 else 200)


def gone_one_day(number: int, before: int) -> Answer:
    return Answer(410 if number > GONE_FROM else 200)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One webhook. `path` is its URL's, `kinds` what it asked for (none: all)."""

    instance: str
    path: str
    behaviour: Behaviour = steady
    id: str = DEFAULT_ID
    by_events: bool = False
    kinds: frozenset[str] = frozenset()
    enabled: bool = True
    order: str = UNORDERED

    def wants(self, kind: str) -> bool:
        return self.enabled and (not self.kinds or kind in self.kinds)

    def post_path(self, kind: str) -> str:
        """Where an event of this kind has to arrive, and nowhere else."""
        return f"{self.path}/{kind.replace('.', '-')}" if self.by_events else self.path

    def webhook(self, base: str) -> Webhook:
        events = frozenset(kind.replace(".", "_").upper() for kind in self.kinds)
        return Webhook(
            *(self.instance, base + self.path, self.id, self.enabled, events, self.by_events),
            order=self.order,
            order_block_seconds=BLOCK_SECONDS,
        )


GLOBAL = Subscription("", "/global", id="global", by_events=True, kinds=frozenset({"connection.update"}), order="chat")
GLOBAL_SETTINGS = {
    "WEBHOOK_GLOBAL_WEBHOOK_BY_EVENTS": "true",
    "WEBHOOK_EVENTS_CONNECTION_UPDATE": "true",
    "WEBHOOK_GLOBAL_ORDER": GLOBAL.order,
}

OUTAGE = "outage"
"""The ordered webhook whose receiver goes down by a fault, and its path."""

SOME = frozenset({"messages.upsert", "contacts.update"})
CAST = (
    *(Subscription(f"plain {n}", f"/plain-{n}") for n in range(3)),
    *(Subscription(f"events-{n}", f"/events-{n}", by_events=True, kinds=SOME) for n in range(2)),
    Subscription("two", "/two/main"),
    Subscription("two", "/two/audit", id="audit", by_events=True, kinds=frozenset({"messages.upsert"})),
    Subscription("slow", "/slow", kinds=SOME),
    Subscription("flaky", "/flaky", flaky),
    Subscription("down", "/down", down, kinds=frozenset({"messages.upsert"})),
    Subscription("refuses", "/refuses", refuses_some, by_events=True),
    Subscription("gone", "/gone", gone_one_day),
    Subscription("off", "/off", enabled=False),
    Subscription("moves", "/moves", kinds=SOME),
    Subscription("order", "/order/chats", flaky, order="chat"),
    Subscription("order", "/order/all", id="all", order="instance", by_events=True),
    Subscription("order", "/order/not", id="not"),
    Subscription("poisoned", "/poisoned", poisoned, order="chat", kinds=SOME),
    Subscription(OUTAGE, f"/{OUTAGE}", order="chat", kinds=SOME),
)
INSTANCES = (*dict.fromkeys(subscription.instance for subscription in CAST), "without")
"""The instance `without` has no webhook: only the global one hears of it."""


def chat_of(number: int, kind: str) -> str:
    """Whom the event is about; "": nobody, as a connection's state is."""
    return "" if kind == "connection.update" else f"55{number % CHATS}@s.whatsapp.net"


def data_of(number: int, kind: str) -> dict[str, Any]:
    """Every other time the chat bears its other name."""
    chat = chat_of(number, kind)
    if not chat:
        return {"number": number}
    hidden = {"remoteJid": f"99{number % CHATS}@lid", "remoteJidAlt": chat}
    return {"key": hidden if number % 2 else {"remoteJid": chat}, "number": number}


FINAL = {"rejected": 404, "gone": 410}
"""Reasons of dead letters that only this answer can bring."""

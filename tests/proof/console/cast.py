"""Who plays in the made traffic, and their day: webhooks that are well, fail, recovered, are quiet, paused or disabled,
lose events for good, or get each chat in order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from worker.domain.history import Row
from worker.domain.webhook import UNORDERED, Webhook

HOUR_MS = 3_600_000
DAY_HOURS = 24


@dataclass(frozen=True)
class One:
    """`failing`: the share of attempts that failed, by hours ago (the last holds for the rest). `rate`: events an hour.
    `answers`: what its receiver says today."""

    instance: str
    id: str
    path: str
    rate: int
    failing: tuple[float, ...] = (0.0,)
    answers: int = 200
    says: str = "ok"
    enabled: bool = True
    reason: str | None = None
    events: frozenset[str] = frozenset()
    paused: bool = False
    """Since the play has begun."""
    order: str = UNORDERED

    def webhook(self, base: str) -> Webhook:
        return Webhook(
            self.instance,
            base + self.path,
            self.id,
            enabled=self.enabled,
            disabled_reason=self.reason,
            events=self.events,
            headers=(("X-Tenant", self.instance), ("Authorization", "Bearer made-up")) if self.id == "crm" else (),
            secrets=("whsec_" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB",) if self.id != "legacy" else (),
            filter='{"data.key.fromMe":false}' if self.id == "crm" else None,
            order=self.order,
        )


MESSAGES = frozenset({"MESSAGES_UPSERT", "MESSAGES_UPDATE"})

CAST = (
    One("padaria-sol", "default", "/sol", 64, events=MESSAGES),
    One("padaria-sol", "crm", "/sol/crm", 58, (0.0, 0.0, 0.0, 0.12, 0.4, 0.0), events=MESSAGES),
    One(
        "farmacia-vida",
        "default",
        "/vida",
        120,
        (1.0, 1.0, 0.7, 0.0),
        503,
        "upstream connect error: no healthy upstream",
    ),
    One("loja-azul", "default", "/azul", 40, (0.0, 0.0, 0.9, 1.0, 1.0, 0.3, 0.0)),
    One("loja-azul", "audit", "/azul/audit", 40),
    One("oficina-rapida", "default", "/oficina", 22, (0.15, 0.1, 0.2, 0.08), 200),
    One("clinica-norte", "default", "/clinica", 0),
    One("mercado-central", "default", "/central", 210),
    One("mercado-central", "erp", "/central/erp", 180, (0.02, 0.0, 0.01, 0.0), events=MESSAGES),
    One("pet-amigo", "default", "/pet", 30, (1.0, 0.0), 404, '{"error":"no such hook: pet-amigo"}'),
    One("escola-lume", "legacy", "/lume", 8, (1.0,), 200, enabled=False, reason="the receiver answered 410 Gone"),
    One("hotel-mare", "default", "/mare", 76),
    One("posto-km-12", "default", "/posto", 18, paused=True),
    One("restaurante-do-vale", "pedidos", "/vale", 52, events=MESSAGES, order="chat"),
)

EVENTS = ("MESSAGES_UPSERT", "MESSAGES_UPDATE", "CONNECTION_UPDATE", "PRESENCE_UPDATE", "SEND_MESSAGE")
DAY_SHAPE = (2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 11, 12, 10, 9, 10, 11, 12, 11, 9, 8, 7, 6, 4, 3)
"""How busy each hour of a day is."""


def past(now_ms: int, seed: int = 7) -> Iterator[Row]:
    """The rows of the day before `now_ms`, in no order."""
    chance = random.Random(seed)
    for one in CAST:
        for ago in range(DAY_HOURS):
            if not one.enabled and ago < 6:
                continue
            busy = DAY_SHAPE[int(now_ms / HOUR_MS - ago) % 24] / 8
            failing = one.failing[min(ago, len(one.failing) - 1)]
            for _ in range(int(one.rate * busy * chance.uniform(0.85, 1.15))):
                yield _row(one, now_ms - ago * HOUR_MS - chance.randrange(30_000, HOUR_MS), failing, chance)


def _row(one: One, at: int, failing: float, chance: random.Random) -> Row:
    failed = chance.random() < failing
    status = (one.answers if one.answers != 200 else 500) if failed else 200
    reason = ("5xx" if status >= 500 else "rejected") if failed else "ok"
    outcome = "Delivered" if not failed else "DeadLettered" if reason == "rejected" else "Retried"
    return Row(
        at=at,
        id=f"msg_{chance.getrandbits(128):032x}",
        event_id=f"{chance.getrandbits(256):064x}",
        instance=one.instance,
        webhook=one.id,
        event=chance.choice(sorted(one.events) or EVENTS),
        chat=f"55119{chance.randrange(10**8):08d}@s.whatsapp.net",
        outcome=outcome,
        reason=reason,
        attempt=1 if not failed else chance.choice((1, 2, 2, 3, 4)),
        status=status,
        ms=int(chance.lognormvariate(3.6, 0.6)) if not failed else int(chance.lognormvariate(5, 0.8)),
        error=f"answered {status}" if failed else None,
        answer=(one.says if one.answers != 200 else "database is locked") if failed else None,
        content_type="text/plain" if failed else None,
        size=int(chance.lognormvariate(6.8, 0.5)),
        host="127.0.0.1:9000",
    )

"""Overview: is it delivering? What waits, who fails, and what of it is ours."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from worker.api.auth import CALLER
from worker.console import shown
from worker.console.frame.desk import Desk
from worker.console.ports import Backlog, BrokerAway, Parts
from worker.domain.outcome import ParkReason
from worker.history.store import Span, Tally
from worker.webhooks.store import StoreUnavailable

HOUR_MS = 3_600_000
NEWEST = 20_000
"""Rows of the last hour that are counted: a page costs no more in a busy hour than in a quiet one."""

MOST_FAILING = 12
OLD_SECONDS = 300.0
"""As notices have it: an event that waits longer is late for any chat."""

NOTHING = Span(0, 0)

OURS = frozenset({ParkReason.SELF_FAULT, ParkReason.CONFIG_UNAVAILABLE, ParkReason.INTERNAL})
"""Reasons for which no receiver is to blame."""


@dataclass(slots=True)
class EndpointHour:
    """How an endpoint fared within the hour. Times are Unix milliseconds."""

    instance: str
    webhook: str
    span: Span = NOTHING
    last_success: int = 0
    last_failure: int = 0
    reason: str = ""

    @property
    def failing(self) -> bool:
        """Its newest attempt failed."""
        return self.last_failure > self.last_success

    def add(self, tally: Tally) -> None:
        if tally.outcome == "Delivered":
            self.span = Span(self.span.attempts + tally.rows, self.span.delivered + tally.rows)
            self.last_success = max(self.last_success, tally.last)
        elif tally.outcome in ("Retried", "DeadLettered"):
            self.span = self.span._replace(attempts=self.span.attempts + tally.rows)
            if tally.last > self.last_failure:
                self.last_failure, self.reason = tally.last, tally.reason


@dataclass(frozen=True, slots=True)
class Hour:
    """What became of the hour's deliveries. `ours`: rows by reason for which no receiver is to blame. `partly`: there
    were more than are counted."""

    span: Span = NOTHING
    failing: Sequence[EndpointHour] = ()
    more_failing: int = 0
    last_success: int = 0
    ours: Sequence[tuple[str, int]] = field(default_factory=tuple)
    partly: bool = False


def hour_of(tallies: Iterable[Tally]) -> Hour:
    """Pure."""
    endpoints: dict[tuple[str, str], EndpointHour] = {}
    ours: dict[str, int] = {}
    rows = 0
    for tally in tallies:
        rows += tally.rows
        name = (tally.instance or "", tally.webhook or "")
        endpoints.setdefault(name, EndpointHour(*name)).add(tally)
        if tally.reason in OURS:
            ours[tally.reason] = ours.get(tally.reason, 0) + tally.rows
    failing = [each for each in endpoints.values() if each.failing]
    failing.sort(key=lambda each: (each.span.delivered > 0, each.span.delivered - each.span.attempts))
    return Hour(
        span=Span(sum(e.span.attempts for e in endpoints.values()), sum(e.span.delivered for e in endpoints.values())),
        failing=failing[:MOST_FAILING],
        more_failing=max(0, len(failing) - MOST_FAILING),
        last_success=max((each.last_success for each in endpoints.values()), default=0),
        ours=tuple(sorted(ours.items())),
        partly=rows >= NEWEST,
    )


def answer(backlog: Backlog | None, away: str | None, hour: Hour | None) -> shown.State:
    """Is it delivering? The worst that is true comes first."""
    if away is not None:
        return shown.State("bad", "RabbitMQ cannot be asked", away)
    if backlog is not None and backlog.workers == 0:
        return shown.State("bad", "Nothing is delivered", "No worker consumes. Start one: webhook-worker run")
    if backlog is not None and backlog.oldest is not None and backlog.oldest >= OLD_SECONDS:
        why = f"The oldest event has waited for {shown.duration(backlog.oldest)}: add replicas, or look who is slow"
        return shown.State("warn", "It is behind", why)
    if hour is None:
        return shown.State("ok", "It consumes", "How deliveries fared is not known: there is no history")
    return _by_receivers(hour)


def _by_receivers(hour: Hour) -> shown.State:
    failing = len(hour.failing) + hour.more_failing
    if hour.ours:
        return shown.State("warn", "Something is ours", "Deliveries wait for a fault that is no receiver's")
    if failing and not hour.span.delivered:
        return shown.State("bad", "Nothing gets through", "Each attempt within the hour failed; what came is kept")
    if failing:
        whom = "1 webhook fails" if failing == 1 else f"{failing} webhooks fail"
        return shown.State(
            "warn",
            f"Delivering, but {whom}",
            "What fails is tried again, or kept as a dead letter; the others notice nothing of it",
        )
    if not hour.span.attempts:
        return shown.State("ok", "Ready", "No delivery was attempted within the hour")
    return shown.State("ok", "Delivering", "Every webhook that was tried within the hour took its newest delivery")


class Overview:
    """GET /console"""

    def __init__(self, desk: Desk, parts: Parts) -> None:
        self._desk = desk
        self._parts = parts

    async def page(self, request: web.Request) -> web.Response:
        """The queues are everybody's, so an owner is not shown them."""
        owner = request[CALLER].instance
        (backlog, away), (hour, unknown) = await asyncio.gather(self._backlog(owner), self._hour(owner))
        values = {
            "backlog": backlog,
            "hour": hour,
            "unknown": unknown,
            "answer": answer(backlog, away, hour),
            "day": int((self._parts.now() - 86_400) * 1000),
        }
        return self._desk.show(request, "overview.html", values)

    async def _backlog(self, owner: str | None) -> tuple[Backlog | None, str | None]:
        if owner is not None:
            return None, None
        try:
            return await self._parts.backlog(), None
        except BrokerAway as error:
            return None, str(error)

    async def _hour(self, owner: str | None) -> tuple[Hour | None, str | None]:
        """With why it is not known."""
        if self._parts.history is None:
            return None, "no history is kept: HISTORY is off"
        since = int(self._parts.now() * 1000) - HOUR_MS
        try:
            return hour_of(await self._parts.history.tallies(owner, since, NEWEST)), None
        except StoreUnavailable as error:
            return None, str(error)

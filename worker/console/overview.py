"""Overview: is it delivering? What waits, who fails, and what of it is ours."""

import asyncio

from aiohttp import web

from worker.api.auth import CALLER
from worker.console import shown
from worker.console.frame.desk import Desk
from worker.console.ports import Backlog, BrokerAway, Parts
from worker.domain.outcome import ParkReason
from worker.history.store import MOST_COUNTED, LastHour
from worker.webhooks.store import StoreUnavailable

MOST_FAILING = 12
OLD_SECONDS = 300.0
"""As notices have it: an event that waits longer is late for any chat."""

OURS = frozenset({ParkReason.SELF_FAULT, ParkReason.CONFIG_UNAVAILABLE, ParkReason.INTERNAL})
"""Reasons for which no receiver is to blame."""


def answer(backlog: Backlog | None, away: str | None, hour: LastHour | None, *, successes: bool = True) -> shown.State:
    """Is it delivering? The worst that is true comes first. `successes`: the history has those, too."""
    if away is not None:
        return shown.State("bad", "RabbitMQ cannot be asked", away)
    if backlog is not None and backlog.workers == 0:
        return shown.State("bad", "Nothing is delivered", "No worker consumes. Start one: webhook-worker run")
    if backlog is not None and backlog.oldest is not None and backlog.oldest >= OLD_SECONDS:
        why = f"The oldest event has waited for {shown.duration(backlog.oldest)}: add replicas, or look who is slow"
        return shown.State("warn", "It is behind", why)
    if hour is None:
        return shown.State("ok", "It consumes", "How deliveries fared is not known: there is no history")
    return _by_receivers(hour) if successes or hour.rows else _by_failures(hour)


def _by_failures(hour: LastHour) -> shown.State:
    if hour.fail:
        return shown.State("warn", f"{_webhooks(hour.fail)} had failures", f"Within the hour; {shown.UNKNOWN}")
    return shown.State("ok", "No failure", f"No attempt has failed within the hour; {shown.UNKNOWN}")


def _webhooks(count: int) -> str:
    return "1 webhook" if count == 1 else f"{shown.number(count)} webhooks"


def _by_receivers(hour: LastHour) -> shown.State:
    if hour.rows:
        return shown.State("warn", "Something is ours", "Deliveries wait for a fault that is no receiver's")
    if hour.fail and not hour.attempts.delivered:
        return shown.State("bad", "Nothing gets through", "Each attempt within the hour failed; what came is kept")
    if hour.fail:
        return shown.State(
            "warn",
            f"Delivering, but {_webhooks(hour.fail)} fail{'s' if hour.fail == 1 else ''}",
            "What fails is tried again, or kept as a dead letter; the others notice nothing of it",
        )
    if not hour.attempts.attempts:
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
            "answer": answer(backlog, away, hour, successes=self._parts.successes),
            "successes": self._parts.successes,
            "most": MOST_COUNTED,
        }
        return self._desk.show(request, "overview.html", values)

    async def _backlog(self, owner: str | None) -> tuple[Backlog | None, str | None]:
        if owner is not None:
            return None, None
        try:
            return await self._parts.backlog(), None
        except BrokerAway as error:
            return None, str(error)

    async def _hour(self, owner: str | None) -> tuple[LastHour | None, str | None]:
        """With why it is not known."""
        if self._parts.history is None:
            return None, "no history is kept: HISTORY is off"
        try:
            return await self._parts.history.last_hour(owner, OURS, MOST_FAILING), None
        except StoreUnavailable as error:
            return None, str(error)

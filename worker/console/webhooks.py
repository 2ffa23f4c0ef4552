"""Webhooks: are they well? A page of them, each with its day."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from worker.api.auth import CALLER
from worker.basics.masking import without_credentials
from worker.console import shown
from worker.console.frame.desk import Desk, asked
from worker.console.ports import Parts
from worker.domain.webhook import Endpoint, Webhook
from worker.history.store import Trend
from worker.webhooks.store import LONGEST_INSTANCE, Page

PAGE = 50
LONGEST_ID = 64


@dataclass(frozen=True, slots=True)
class Line:
    """One webhook of the list."""

    webhook: Webhook
    url: str
    state: shown.State
    trend: Trend | None
    in_order: str
    """Of what; "" for nothing."""


class Webhooks:
    """GET /console/webhooks"""

    def __init__(self, desk: Desk, parts: Parts) -> None:
        self._desk = desk
        self._parts = parts

    async def page(self, request: web.Request) -> web.Response:
        """Those of the asker, ordered by instance; `find` is how an instance's name begins."""
        find = asked(request.query, "find")[:LONGEST_INSTANCE]
        page = await self._page(request, find)
        trends = await self._trends([item.webhook.endpoint for item in page.items])
        lines = [line(item.webhook, trends, successes=self._parts.successes) for item in page.items]
        whole = page.following is None and not request.query.get("after")
        if whole:
            lines.sort(key=lambda line: _WORST_FIRST.index(line.state.tone))
        values = {
            "lines": lines,
            "find": find,
            "elsewhere": self._parts.elsewhere,
            "successes": self._parts.successes,
            "deleted": "deleted" in request.query,
            "unreadable": page.unreadable,
            "following": _next(find, page.following) if page.following else None,
            "first": bool(request.query.get("after")),
            "answer": answer(lines, find, whole=whole),
        }
        return self._desk.show(request, "webhooks.html", values)

    async def _page(self, request: web.Request, find: str) -> Page:
        owner = request[CALLER].instance
        if owner is not None:
            items = await self._parts.store.get(owner)
            return Page(tuple(item for item in items if item.webhook.instance.startswith(find)), None)
        after = request.query.get("after", "")
        cursor = Endpoint(after[:LONGEST_INSTANCE], asked(request.query, "after_id")[:LONGEST_ID]) if after else None
        page = await self._parts.store.list(cursor or (Endpoint(find, "") if find else None), PAGE)
        return _beginning(page, find)

    async def _trends(self, endpoints: Sequence[Endpoint]) -> Mapping[Endpoint, Trend] | None:
        return await self._parts.history.trends(endpoints) if self._parts.history and endpoints else None


def _beginning(page: Page, find: str) -> Page:
    """The store's order is by name: whoever begins so stands together."""
    found = tuple(item for item in page.items if item.webhook.instance.startswith(find))
    complete = len(found) == len(page.items)
    return Page(found, page.following if complete else None, page.unreadable)


def _next(find: str, following: Endpoint) -> Mapping[str, str]:
    return {"find": find, "after": following.instance, "after_id": following.webhook_id}


def line(webhook: Webhook, trends: Mapping[Endpoint, Trend] | None, *, successes: bool) -> Line:
    trend = trends.get(webhook.endpoint) if trends else None
    return Line(
        webhook=webhook,
        url=without_credentials(webhook.url),
        state=shown.state_of(webhook, trend, known=trends is not None, successes=successes),
        trend=trend,
        in_order=shown.in_order(webhook),
    )


def answer(lines: Sequence[Line], find: str, *, whole: bool) -> shown.State:
    """Are they well? Of those that are shown."""
    if not lines:
        why = f"No instance's name begins with {find}" if find else "Nothing is delivered to anybody"
        return shown.State("off", "No webhook", why)
    counts = Counter(line.state.word for line in lines)
    which = f"Of all {len(lines)}" if whole else f"Of the {len(lines)} that are shown"
    if counts["Unknown"]:
        why = f"{which}, {shown.number(counts['Unknown'])} cannot be told: the history has not answered, or is off"
        return shown.State("off", "How they fare is not known", why)
    bad = [f"{counts[word]} {does}" for word, does in _TROUBLES if counts[word]]
    well = sum(counts.values()) - sum(counts[word] for word, _ in _TROUBLES)
    if not bad:
        return shown.State("ok", "None fails", f"{which}, none has failed lately")
    tone = "bad" if counts["Failing"] else "warn"
    are = "is" if well == 1 else "are"
    return shown.State(tone, " and ".join(bad), f"{which}, {well} {are} well, quiet, paused or disabled")


_WORST_FIRST = ("bad", "warn", "ok", "off")
"""Where all are shown; a page among others is in the order of names, as the next one."""

_TROUBLES = (("Failing", "failing"), ("Unsteady", "unsteady"), ("Had failures", "with failures"))

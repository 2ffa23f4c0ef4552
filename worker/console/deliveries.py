"""Deliveries: what happened to an event? A search over the history, and the time line of one delivery."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from aiohttp import web

from worker.api.auth import CALLER
from worker.api.ports import BodyGone, CannotResend
from worker.console import known, shown
from worker.console.dead_counts import pretty
from worker.console.frame.desk import Desk, asked, read_form, seen
from worker.console.frame.sessions import Said
from worker.console.ports import Parts
from worker.console.reasons import meaning
from worker.domain.history import Row
from worker.domain.names import CHOOSABLE, canonical
from worker.history.asked import OUTCOMES, REASON_NAMES, BadFilter, cursor, question, written
from worker.history.asking import Asking
from worker.history.filters import FILTERS
from worker.history.shown import resent
from worker.history.store import Kept, Page
from worker.webhooks.store import StoreUnavailable

log = logging.getLogger(__name__)

PAGE = 50
LONGEST_FILTER = 1000

CLASSES = frozenset({"3xx", "4xx", "5xx"})
"""Reasons that are the class of a status."""

OFF = "No history is kept: HISTORY is off."


class Deliveries:
    """The history's pages for a browser; whose rows are seen is part of each question, as in the API."""

    def __init__(self, desk: Desk, parts: Parts) -> None:
        self._desk = desk
        self._parts = parts

    async def search(self, request: web.Request) -> web.Response:
        """GET /console/deliveries"""
        given = given_filters(request.query)
        history = self._parts.history
        page, problems, away = await self._page(history, given, request.query.get("after"), request[CALLER].instance)
        if page and page.items and given.keys() == {"id"}:
            raise seen("/delivery", {"id": page.items[0].row.id})
        values = {
            "given": {name: given.get(name, "") for name in FILTERS},
            "problems": problems,
            "away": away is not None and history is not None,
            "rows": page.items if page else (),
            "older": {**given, "after": written(page.following)} if page and page.following else None,
            "looked_to": page.looked_to if page else None,
            "newest": given if "after" in request.query else None,
            "answer": answer(page, problems, away, given),
            "instances": await known.instances(self._parts, request[CALLER].instance),
            "outcomes": OUTCOMES,
            "reasons": REASON_NAMES,
            "more": any(
                name in given or name in problems for name in ("event", "webhook", "reason", "status", "until")
            ),
        }
        return self._desk.show(request, "deliveries.html", values, 400 if problems else 503 if away else 200)

    async def _page(
        self, history: Asking | None, given: Mapping[str, str], after: str | None, owner: str | None
    ) -> tuple[Page | None, Mapping[str, str], str | None]:
        if history is None:
            return None, {}, OFF
        try:
            wanted = question(given, owner, self._parts.now())
            return await history.page(wanted, cursor(after), PAGE), {}, None
        except BadFilter as error:
            return None, _as_shown(error.problems), None
        except StoreUnavailable as error:
            log.warning("the history was not searched: %s", error)
            return None, {}, str(error)

    async def one(self, request: web.Request) -> web.Response:
        """GET /console/delivery?id="""
        return await self._shown(request, request.query.get("id", ""), self._desk.told(request))

    async def body(self, request: web.Request) -> web.Response:
        """GET /console/delivery/body?id=: the event, from the dead letters or the archive."""
        delivery_id = request.query.get("id", "")
        try:
            found = await self._parts.body(delivery_id, request[CALLER].instance) if self._parts.body else None
        except (BodyGone, CannotResend) as error:
            values = {"id": delivery_id, "body": None, "why": str(error)}
            return self._desk.show(request, "delivery_body.html", values, 404)
        if found is None:
            raise web.HTTPNotFound
        return self._desk.show(request, "delivery_body.html", {"id": delivery_id, "body": pretty(found)})

    async def resend(self, request: web.Request) -> web.Response:
        """POST /console/delivery/resend: one attempt; its row comes into the history soon, its result is shown next."""
        delivery_id = asked(await read_form(request), "id")
        try:
            row = await self._parts.resend(delivery_id, request[CALLER].instance) if self._parts.resend else None
        except (BodyGone, CannotResend) as error:
            said = Said("bad", f"It was not sent: {error}")
        else:
            said = said_of(row)
        return self._desk.tell(request, "/delivery", {"id": delivery_id}, said)

    async def _shown(self, request: web.Request, delivery_id: str, result: Said | None) -> web.Response:
        history, owner = self._parts.history, request[CALLER].instance
        if history is None and result is None:
            raise web.HTTPNotFound(reason=OFF)
        rows = await history.timeline(delivery_id, owner) if history and delivery_id else ()
        if not rows and result is None:
            return self._desk.show(request, "delivery_unknown.html", {"id": delivery_id}, 404)
        values = {
            "id": delivery_id,
            "rows": rows,
            "first": rows[-1].row if rows else None,
            "answer": ending(rows) if rows else None,
            "hint_of": hint_of,
            "error_of": error_of,
            "result": result,
            "dead": bool(rows) and rows[-1].row.outcome == "DeadLettered",
            "body": self._parts.body is not None and bool(rows),
            "resend": self._parts.resend is not None and bool(rows) and rows[-1].row.webhook is not None,
        }
        return self._desk.show(request, "delivery.html", values)


def said_of(row: Row | None) -> Said:
    """What came of a resend, for people."""
    if row is None:
        return Said("warn", "It was not sent: neither the dead letters nor the archive have it")
    if resent(row)["ok"]:
        return Said("ok", f"The receiver took it: {row.status} after {row.ms} ms")
    said = f"answered {row.status} after {row.ms} ms" if row.status else row.error or row.reason
    return Said("bad", f"The receiver did not take it: {said}. Nothing else was changed", row.answer)


def hint_of(row: Row) -> str:
    """What its reason means; "" where that is no more than the status."""
    return "" if row.reason == "ok" or (row.status and row.reason in CLASSES) else meaning(row.reason)


def error_of(row: Row) -> str | None:
    """None, too, for one that says no more than the status."""
    return None if row.error and row.error.endswith(f"answered {row.status}") else row.error


def given_filters(query: Mapping[str, str]) -> dict[str, str]:
    """What was typed; an empty field of a form filters nothing."""
    return {name: text[:LONGEST_FILTER] for name in FILTERS if (text := asked(query, name))}


def _as_shown(problems: Mapping[str, str]) -> Mapping[str, str]:
    """Outcomes have other words here than in the history."""
    words = ", ".join(shown.outcome(name).word for name in OUTCOMES)
    return {**problems, "outcome": f"must be one of {words}"} if "outcome" in problems else problems


def answer(page: Page | None, problems: Mapping[str, str], away: str | None, given: Mapping[str, str]) -> shown.State:
    """What happened to them? In numbers, of the rows that are shown."""
    if away is not None:
        return shown.State("bad", "The history cannot be asked", away)
    if page is None:
        if problems.keys() == {"after"}:
            return shown.State("warn", "Not searched", "The link to this page was cut short. Search again")
        return shown.State("warn", "Not searched", f"See the field{'s' if len(problems) > 1 else ''} below")
    if not page.items and page.looked_to is not None:
        return shown.State("off", "Nothing found yet", f"{_looked_back(page.looked_to)}; older ones may match")
    if not page.items:
        return shown.State("off", "Nothing is there", _why_nothing(given))
    return _counted(page)


def _why_nothing(given: Mapping[str, str]) -> str:
    if not given:
        return "Nothing was delivered yet"
    if given.get("id", "").startswith("evt_"):
        return (
            "An event's id cannot be searched: each of its deliveries has a webhook-id (msg_...). Look by chat and time"
        )
    if "id" in given and not given["id"].startswith("msg_"):
        return "This is no webhook-id (msg_...), which the receiver got as a header. Look by chat and time instead"
    if "event" in given and canonical(given["event"]) not in CHOOSABLE:
        return "No event of that name is known here. Such are messages.upsert, messages.update and connection.update"
    return "No row means: the event never came, or no webhook wanted it"


def _counted(page: Page) -> shown.State:
    counts = Counter(kept.row.outcome for kept in page.items)
    words = {"Delivered": "delivered", "Retried": "failed", "Parked": "waiting", "DeadLettered": "given up"}
    words["Skipped"] = "skipped"
    said = ", ".join(f"{counts[name]} {word}" for name, word in words.items() if counts[name])
    tone = "bad" if counts["DeadLettered"] else "warn" if counts["Retried"] else "ok"
    rows = len(page.items)
    which = f"The newest {rows} rows that match" if page.following else f"All {rows} rows that match"
    if page.looked_to is not None:
        which = f"{rows} rows that match. {_looked_back(page.looked_to)}" if rows > 1 else _looked_back(page.looked_to)
    elif rows == 1:
        which = "The only row that matches"
    return shown.State(tone, said.capitalize(), which)


def _looked_back(to: int) -> str:
    return f"Searched back to {shown.moment(to, 0).exact}"


_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


def _ordinal(number: int) -> str:
    return f"{number}{'th' if 10 <= number % 100 <= 20 else _ORDINALS.get(number % 10, 'th')}"


_SENT_AGAIN = {
    "Retried": "it was not taken yet",
    "Parked": "it waits",
    "DeadLettered": "it was given up",
    "Skipped": "it was skipped",
}
"""What became of one that had been delivered before."""


def ending(rows: Sequence[Kept]) -> shown.State:
    """What happened to it? `rows`: oldest first, one at least."""
    last, took = rows[-1].row, shown.duration((rows[-1].row.at - rows[0].row.at) / 1000)
    tone = shown.outcome(last.outcome).tone
    if last.outcome != "Delivered" and any(kept.row.outcome == "Delivered" for kept in rows):
        why = f"{_SENT_AGAIN.get(last.outcome, last.outcome)}: {last.error or last.reason}"
        return shown.State("warn", "Delivered before", f"Sent again later, {why}")
    match last.outcome:
        case "Delivered":
            after = f", {took} after the first" if len(rows) > 1 else ""
            return shown.State(
                tone, "Delivered", f"The receiver took it at the {_ordinal(last.attempt)} attempt{after}"
            )
        case "Retried":
            why = f"The {_ordinal(last.attempt)} attempt failed ({last.reason}); the next follows by itself"
            return shown.State(tone, "Not yet delivered", why)
        case "Parked":
            return shown.State(tone, "Waiting", f"It waits ({last.reason}) and is offered again by itself")
        case "DeadLettered":
            why = f"{last.error or last.reason}. Unless somebody took it out, it lies among the dead letters"
            return shown.State(tone, "Given up", why)
    return shown.State(tone, "Skipped", f"Nobody wanted it any more: {last.error or last.reason}")

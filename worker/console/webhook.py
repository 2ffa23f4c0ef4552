"""One webhook: is it well? Its day, its newest deliveries, and everything that can be changed of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from msgspec.structs import replace
from multidict import MultiDict

from worker.api.auth import CALLER
from worker.api.errors import Invalid
from worker.api.saving import TAKEN, Saved
from worker.console import form, known, shown, tried
from worker.console.frame.desk import Desk, asked, read_form, seen
from worker.console.frame.sessions import Said
from worker.console.ports import Parts
from worker.console.webhooks import Line, line
from worker.domain.history import Row
from worker.domain.names import COUNTED
from worker.domain.webhook import DEFAULT_ID, Endpoint, Webhook
from worker.domain.webhook_test import KIND, event_of_test
from worker.history.store import Kept, Question, Trend
from worker.webhooks.changing import find
from worker.webhooks.fields import Problem, warnings
from worker.webhooks.rotation import rotate_secret
from worker.webhooks.shown import Shown, shown_test
from worker.webhooks.store import Stored, StoreUnavailable

NEWEST = 8
"""Rows of its deliveries that its page shows."""

UNKNOWN = "There is no such webhook."
OLD_SECRET = {"86400": "24 hours", "3600": "1 hour", "604800": "7 days", "0": "not at all"}
"""How long the old secret signs beside the new one: seconds, and words."""

DONE = {
    "saved": "It is saved, and in force on every replica.",
    "resumed": "It is resumed: what waited meanwhile is sent in order.",
    "lost": "It is resumed. What came while it was paused was not kept and is not sent.",
    "paused": "It is paused: nothing is sent to it, and what comes meanwhile can be given back when it is resumed.",
}


class WebhookPages:
    """Handlers of one webhook, as `?instance=&id=` says; another instance's is as unknown as one that never was."""

    def __init__(self, desk: Desk, parts: Parts) -> None:
        self._desk = desk
        self._parts = parts

    async def page(self, request: web.Request) -> web.Response:
        """GET /console/webhook"""
        stored, done = await self._stored(request), request.query.get("done", "")
        said = self._desk.told(request) or (Said("ok", DONE[done]) if done in DONE else None)
        if said is not None and done == "saved":
            said = replace(said, notes=warnings(stored.webhook))
        return await self._show(request, stored, said)

    async def new(self, request: web.Request) -> web.Response:
        """GET /console/webhooks/new"""
        self._check_writable()
        typed = MultiDict({"instance": request.query.get("instance", ""), "id": DEFAULT_ID, "enabled": "on"})
        return await self._show_new(request, typed)

    async def create(self, request: web.Request) -> web.Response:
        """POST /console/webhooks/new"""
        self._check_writable()
        typed = await read_form(request)
        instance = request[CALLER].instance or asked(typed, "instance")
        wanted = form.asked_by(typed, instance, asked(typed, "id"), generate="generate" in typed)
        endpoint = Endpoint(instance, asked(typed, "id"))
        if await self._exists(endpoint):
            wanted.problems.append(TAKEN)
        try:
            saved = await self._parts.saving.save(wanted, new=True)
        except Invalid as error:
            return await self._show_new(request, typed, error.problems)
        return self._saved(request, saved)

    async def save(self, request: web.Request) -> web.Response:
        """POST /console/webhook"""
        self._check_writable()
        stored, typed = await self._stored(request), await read_form(request)
        wanted = form.asked_by(typed, stored.webhook.instance, stored.webhook.id)
        if asked(typed, "revision") != str(stored.revision):
            text = "Somebody has changed it meanwhile. Below is what you typed: saved again, it replaces theirs."
            return await self._show(request, stored, Said("warn", text), typed, status=409)
        try:
            saved = await self._parts.saving.save(wanted)
        except Invalid as error:
            text = "It is not saved: see what is wrong below."
            return await self._show(request, stored, Said("bad", text), typed, error.problems, status=400)
        return self._saved(request, saved)

    async def try_it(self, request: web.Request) -> web.Response:
        """POST /console/webhook/try: what would become of an event with what the form says now. Nothing is saved."""
        stored, typed = await self._stored(request), await read_form(request)
        wanted = form.asked_by(typed, stored.webhook.instance, stored.webhook.id)
        try:
            webhook = await self._parts.saving.preview(wanted, stored.webhook)
        except Invalid as error:
            said = Said("bad", "It was not tried: see what is wrong below.")
            return await self._show(request, stored, said, typed, error.problems, status=400)
        last = asked(typed, "do") == "last"
        parts, event = self._parts, typed.get("event", "")
        found = await (tried.on_the_last(parts, webhook) if last else tried.on_one(parts, webhook, event))
        return await self._show(request, stored, None, typed, found=found)

    async def test(self, request: web.Request) -> web.Response:
        """POST /console/webhook/test"""
        stored, typed = await self._stored(request), await read_form(request)
        kind = asked(typed, "event") or KIND
        if kind not in COUNTED:
            raise web.HTTPBadRequest
        content = event_of_test(stored.webhook.instance, kind, self._parts.now())
        trial = await self._parts.send_test(stored.webhook, content)
        found = shown_test(stored.webhook, kind, trial)
        took = f"after {found['milliseconds']} ms"
        text = (
            f"The test was answered {trial.status} {took}."
            if trial.status
            else f"The test failed: {trial.error}, {took}."
        )
        return await self._show(request, stored, Said("ok" if found["ok"] else "bad", text, str(found["body"])))

    async def rotate(self, request: web.Request) -> web.Response:
        """POST /console/webhook/rotate"""
        self._check_writable()
        stored, typed = await self._stored(request), await read_form(request)
        keep = asked(typed, "expire_old")
        if keep not in OLD_SECRET:
            raise web.HTTPBadRequest
        webhook, now = stored.webhook, self._parts.now()
        refused = _not_rotated(stored, typed, now)
        if refused is not None:
            return await self._show(request, stored, Said("warn", refused), status=409)
        rotated = await rotate_secret(self._parts.store, webhook.instance, webhook.id, int(keep), now)
        if rotated is None:
            raise web.HTTPNotFound
        await self._parts.changed(webhook.instance, rotated.revision)
        until = (
            f"The old one signs beside it until {shown.exact(rotated.old_until)}."
            if rotated.old_until
            else "It alone signs from now on."
        )
        said = Said("ok", f"There is a new signing secret. {until}", secret=rotated.new_secret)
        return await self._show(request, await self._stored(request), said)

    async def ask_delete(self, request: web.Request) -> web.Response:
        """GET /console/webhook/delete"""
        self._check_writable()
        stored = await self._stored(request)
        return self._desk.show(request, "webhook_delete.html", {"webhook": stored.webhook})

    async def delete(self, request: web.Request) -> web.Response:
        """POST /console/webhook/delete"""
        self._check_writable()
        webhook = (await self._stored(request)).webhook
        deleted = await self._parts.store.delete(webhook.instance, webhook.id)
        if deleted is not None:
            await self._parts.changed(webhook.instance, deleted.revision)
        raise seen("/webhooks", {"deleted": "1"})

    def _check_writable(self) -> None:
        if self._parts.elsewhere is not None:
            raise web.HTTPForbidden(reason=f"Webhooks are changed elsewhere: {self._parts.elsewhere}.")

    async def _exists(self, endpoint: Endpoint) -> bool:
        return await find(self._parts.store, endpoint) is not None

    async def _stored(self, request: web.Request) -> Stored:
        instance, webhook_id = request.query.get("instance", ""), request.query.get("id", DEFAULT_ID)
        if not request[CALLER].reaches(instance):
            raise web.HTTPNotFound(reason=UNKNOWN)
        stored = await find(self._parts.store, Endpoint(instance, webhook_id))
        if stored is None:
            raise web.HTTPNotFound(reason=UNKNOWN)
        return stored

    def _saved(self, request: web.Request, saved: Saved) -> web.Response:
        """The page that says so, and a new secret with it, this once."""
        query = {"instance": saved.webhook.instance, "id": saved.webhook.id, "done": "saved"}
        if saved.secret:
            return self._desk.tell(request, "/webhook", query, Said("ok", DONE["saved"], secret=saved.secret))
        raise seen("/webhook", query)

    async def _show(
        self,
        request: web.Request,
        stored: Stored,
        said: Said | None = None,
        typed: MultiDict[str] | None = None,
        problems: Sequence[Problem] = (),
        found: list[Shown] | Shown | str | None = None,
        status: int = 200,
    ) -> web.Response:
        webhook = stored.webhook
        trends, rows = await self._lately(webhook)
        about = line(webhook, trends, successes=self._parts.successes)
        groups = form.of_webhook(webhook) if typed is None else form.of_typed(typed, problems)
        values: dict[str, Any] = {
            "line": about,
            "failure": await self._failure(webhook, about.trend) if about.state.tone in ("bad", "warn") else None,
            "webhook": webhook,
            "stored": stored,
            "rows": rows,
            "groups": groups,
            "said": said,
            "tried": found,
            "lately": self._parts.last_events is not None,
            "event": typed.get("event", "") if typed else "",
            "elsewhere": self._parts.elsewhere,
            "successes": self._parts.successes,
            "replayable": self._parts.replays is not None,
            "pausable": self._parts.replays is not None and self._parts.elsewhere is None,
            "warnings": warnings(webhook),
            "old_secret": OLD_SECRET,
            "older": _older(webhook, self._parts.now()),
            "alike": await self._alike(request, about),
            "events": sorted(COUNTED),
            "kind": _kind_of_test(webhook),
        }
        values["answer"] = about.state
        return self._desk.show(request, "webhook.html", values, status)

    async def _lately(self, webhook: Webhook) -> tuple[Mapping[Endpoint, Trend] | None, Sequence[Kept] | None]:
        """None: the history cannot be asked, or is off."""
        history = self._parts.history
        if history is None:
            return None, None
        question = Question(owner=webhook.instance, instance=webhook.instance, webhook=webhook.id)
        try:
            page = await history.page(question, None, NEWEST)
        except StoreUnavailable:
            return None, None
        return await history.trends([webhook.endpoint]), page.items

    async def _alike(self, request: web.Request, about: Line) -> Sequence[str] | None:
        """Of one that nothing was sent to within a day: see known.alike."""
        if about.trend is not None:
            return None
        return await known.alike(self._parts, request[CALLER].instance, about.webhook.instance)

    async def _failure(self, webhook: Webhook, trend: Trend | None) -> Row | None:
        """The row of its last failure, which says why."""
        if self._parts.history is None or trend is None or trend.last_failure is None:
            return None
        at, instance = trend.last_failure, webhook.instance
        question = Question(owner=instance, instance=instance, webhook=webhook.id, since=at, until=at + 1)
        try:
            page = await self._parts.history.page(question, None, NEWEST)
        except StoreUnavailable:
            return None
        return next((kept.row for kept in page.items if kept.row.error), None)

    async def _show_new(
        self, request: web.Request, typed: MultiDict[str], problems: Sequence[Problem] = ()
    ) -> web.Response:
        told = {problem.field: problem.message for problem in problems if problem.field in ("instance", "id")}
        values = {
            "groups": form.of_typed(typed, problems),
            "typed": typed,
            "instances": await known.instances(self._parts, request[CALLER].instance),
            "told": told,
            "generate": "generate" in typed or not problems,
            "answer": shown.State("off", "A new webhook", "It is in force as soon as it is saved"),
        }
        return self._desk.show(request, "webhook_new.html", values, 400 if problems else 200)


def _kind_of_test(webhook: Webhook) -> str:
    """An event that it has chosen: its receiver expects no other."""
    chosen = sorted(webhook.events & COUNTED)
    return KIND if KIND in chosen or not chosen else chosen[0]


def _older(webhook: Webhook, now: float) -> str | None:
    """Until when a secret before the newest still signs, in words; None: there is none."""
    if len(webhook.signing_secrets(now)) < 2:
        return None
    until = webhook.old_secret_until
    return "until it is rotated" if until is None else f"until {shown.moment(until * 1000, 0).exact}"


def _not_rotated(stored: Stored, typed: MultiDict[str], now: float) -> str | None:
    """Why a form makes no new secret: a page that is loaded again sends the last one again, and a receiver may still
    know the older secret alone. None: nothing speaks against it."""
    if asked(typed, "revision") not in ("", str(stored.revision)):
        return "No secret was made: the webhook has changed since this form was shown. If that was you, all is done."
    older = _older(stored.webhook, now)
    if older is None or "end_older" in typed:
        return None
    return f"No secret was made: an older one still signs {older}, and would end now. Say below that it may."

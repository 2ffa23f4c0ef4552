"""What every handler of the console is given: who asks, a way to render for them, and forms that are checked."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict
from yarl import URL

from worker.api.auth import CALLER
from worker.api.body import BODY_SECONDS
from worker.console.frame.jobs import DOCTOR, Job, Jobs
from worker.console.frame.pages import ROOT, Pages, link
from worker.console.frame.sessions import SAID_SECONDS, Said, Session, Sessions

SAID = "webhook_console_said"
"""Name of the cookie by which a page says something once."""

SESSION = web.RequestKey("session", Session)
FORM = web.RequestKey("form", MultiDict[str])
TOLD = web.RequestKey("told", Said)
FORM_TOKEN = "form_token"  # noqa: S105 - a field's name

NAVIGATION = (
    ("/", "Overview", False),
    ("/webhooks", "Webhooks", False),
    ("/deliveries", "Deliveries", False),
    ("/dead", "Dead letters", False),
    ("/replays", "Replays", False),
    ("/doctor", "Doctor", True),
)
"""Path, name, and whether it is the operator's alone."""


class Desk:
    """Renders for whoever asks."""

    def __init__(self, pages: Pages, sessions: Sessions, jobs: Jobs) -> None:
        self.pages = pages
        self.sessions = sessions
        self.jobs = jobs

    def show(
        self, request: web.Request, template: str, values: Mapping[str, Any] | None = None, status: int = 200
    ) -> web.Response:
        """A page of somebody who is logged in."""
        response = self.pages.render(template, {**self._about(request), **(values or {})}, status)
        if TOLD in request:
            response.del_cookie(SAID, path=request.path, httponly=True, samesite="Strict")
        return response

    def tell(self, request: web.Request, path: str, query: Mapping[str, object], said: Said) -> web.Response:
        """After a change: the browser asks for this page, which says it once; a reload repeats neither."""
        page = link(path, query)
        response = web.Response(status=303, headers={"Location": page})
        response.set_cookie(
            SAID,
            self.sessions.tell(request[SESSION], URL(page), said),
            path=ROOT + path,
            max_age=SAID_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=is_https(request),
        )
        return response

    def told(self, request: web.Request) -> Said | None:
        """What the page that is asked for is to say, which then is forgotten."""
        said = self.sessions.told(request[SESSION], request.rel_url, request.cookies.get(SAID, ""))
        if said is not None:
            request[TOLD] = said
        return said

    def _about(self, request: web.Request) -> dict[str, Any]:
        caller = request.get(CALLER)
        session = request.get(SESSION)
        here = request.path.removeprefix("/console")
        places = [
            {"href": link("" if path == "/" else path), "name": name, "here": _is_here(here, path)}
            for path, name, operators in NAVIGATION
            if caller is not None and (not operators or caller.instance is None)
        ]
        return {
            "owner": caller.instance if caller else None,
            "places": places,
            "running": self._elsewhere(request, here),
            "here": request.raw_path,
            "form_token": self.sessions.form_token(session) if session else "",
        }

    def _elsewhere(self, request: web.Request, here: str) -> Sequence[Job]:
        """What runs, but for what the page itself is about."""
        if CALLER not in request:
            return ()
        jobs = self.jobs.running(request[CALLER].instance)
        own = {"/job": request.query.get("id"), "/doctor": DOCTOR}.get(here)
        return [job for job in jobs if own not in (job.id, job.kind)]


_BELONGS = {"webhook": "webhooks", "delivery": "deliveries", "job": "dead", "replay": "replays"}


def _is_here(path: str, place: str) -> bool:
    """A webhook belongs to the webhooks, a delivery to the deliveries."""
    first = path.strip("/").partition("/")[0]
    wanted = place.strip("/")
    return _BELONGS.get(first, first) == wanted


async def read_form(request: web.Request) -> MultiDict[str]:
    """The fields that a form sent, once. Raises HTTPException."""
    if FORM in request:
        return request[FORM]
    if request.content_type != "application/x-www-form-urlencoded":
        raise web.HTTPUnsupportedMediaType
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    try:
        request[FORM] = MultiDict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:  # read with a replacement, it would be saved as something else
        raise web.HTTPBadRequest(reason="What was typed is not UTF-8. Go back, and type it anew.") from None
    return request[FORM]


def asked(given: Mapping[str, str], name: str) -> str:
    """A field without the spaces around it; "" when it is not there."""
    return given.get(name, "").strip()


def seen(path: str, query: Mapping[str, object] | None = None) -> web.HTTPSeeOther:
    """After a change: the browser asks for this page, so that a reload repeats nothing."""
    return web.HTTPSeeOther(link(path, query))


def is_https(request: web.Request) -> bool:
    """Also behind a proxy that ends TLS. Who lies here makes only their own cookie useless."""
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"

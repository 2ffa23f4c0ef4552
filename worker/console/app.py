"""The console as an application of its own: its routes, and what stands around each of them."""

import logging
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.api.auth import CALLER, Authentication
from worker.api.errors import RETRY_AFTER_SECONDS, ApiError
from worker.api.queries import is_readable
from worker.console.dead import DeadLetters
from worker.console.deliveries import Deliveries
from worker.console.doctor import Doctor
from worker.console.frame.desk import FORM_TOKEN, SESSION, Desk, asked, read_form
from worker.console.frame.jobs import Jobs
from worker.console.frame.login import COOKIE, Login
from worker.console.frame.pages import HEADERS, ROOT, Pages, link
from worker.console.frame.sessions import Sessions
from worker.console.overview import Overview
from worker.console.ports import Parts
from worker.console.replays import ReplayPages
from worker.console.webhook import WebhookPages
from worker.console.webhooks import Webhooks
from worker.webhooks.store import StoreUnavailable

log = logging.getLogger(__name__)

OPEN = frozenset({f"{ROOT}/login"})
"""Without a session; and what lies below /console/static/, which is the same everywhere."""


def console(api_key: str, authentication: Authentication, parts: Parts) -> web.Application:
    """What is served below /console."""
    pages = Pages(parts.now)
    sessions = Sessions(api_key, authentication, parts.now)
    desk = Desk(pages, sessions, Jobs(parts.now))
    app = web.Application(middlewares=[_framed(desk), _readable, _logged_in(desk), _meant(desk.sessions)])
    app.router.add_get("/static/{name}", pages.serve_asset)
    login = Login(desk, authentication)
    app.router.add_get("/login", login.page)
    app.router.add_post("/login", login.log_in)
    app.router.add_post("/logout", login.log_out)
    overview = Overview(desk, parts)
    for path in ("", "/"):
        app.router.add_get(path, overview.page)
    deliveries = Deliveries(desk, parts)
    app.router.add_get("/deliveries", deliveries.search)
    app.router.add_get("/delivery", deliveries.one)
    app.router.add_get("/delivery/body", deliveries.body)
    app.router.add_post("/delivery/resend", deliveries.resend)
    _serve_webhooks(app, desk, parts)
    _serve_replays(app, ReplayPages(desk, parts))
    _serve_long_work(app, desk, parts)
    return app


def _serve_replays(app: web.Application, replays: ReplayPages) -> None:
    app.router.add_get("/replays", replays.page)
    app.router.add_post("/replays", replays.ask)
    app.router.add_get("/replay", replays.one)
    app.router.add_post("/replay/stop", replays.stop)
    app.router.add_post("/webhook/pause", replays.pause)
    app.router.add_post("/webhook/resume", replays.resume)


def _serve_long_work(app: web.Application, desk: Desk, parts: Parts) -> None:
    jobs = desk.jobs
    dead, doctor = DeadLetters(desk, parts, jobs), Doctor(desk, parts, jobs)
    app.router.add_get("/dead", dead.page)
    app.router.add_get("/dead/{does:redrive|purge}", dead.ask)
    app.router.add_post("/dead/{does:redrive|purge}", dead.do)
    app.router.add_get("/dead/letter", dead.letter)
    app.router.add_get("/doctor", doctor.page)
    app.router.add_post("/doctor", doctor.examine)
    app.router.add_get("/job", doctor.job)

    async def close(_: web.Application) -> None:
        await dead.close()
        await jobs.close()

    app.on_shutdown.append(close)


def _serve_webhooks(app: web.Application, desk: Desk, parts: Parts) -> None:
    one = WebhookPages(desk, parts)
    app.router.add_get("/webhooks", Webhooks(desk, parts).page)
    app.router.add_get("/webhooks/new", one.new)
    app.router.add_post("/webhooks/new", one.create)
    app.router.add_get("/webhook", one.page)
    app.router.add_post("/webhook", one.save)
    app.router.add_post("/webhook/try", one.try_it)
    app.router.add_post("/webhook/test", one.test)
    app.router.add_post("/webhook/rotate", one.rotate)
    app.router.add_get("/webhook/delete", one.ask_delete)
    app.router.add_post("/webhook/delete", one.delete)


def _framed(desk: Desk) -> Middleware:
    """Answers whatever goes wrong with a page, and puts the headers on each answer."""

    @web.middleware
    async def frame(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPRedirection as redirection:
            response = web.Response(status=redirection.status, headers={"Location": redirection.headers["Location"]})
        except (web.HTTPException, ApiError) as error:
            response = _problem(desk, request, error.status, _words(error))
        except StoreUnavailable as error:
            log.warning("a page of the console was not answered: %s", error, extra={"page": request.path})
            response = _problem(desk, request, 503, _away(request, error))
        except Exception:
            log.exception("a fault of ours in %s %s", request.method, request.match_info.route.name)
            response = _problem(desk, request, 500, "This is a fault of the worker: its log says which.")
        response.headers.update(HEADERS)
        if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response

    return frame


@web.middleware
async def _readable(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not is_readable(request):
        raise web.HTTPBadRequest(
            reason="The address of this page is not UTF-8. Go back, and type anew what you look for."
        )
    return await handler(request)


def _problem(desk: Desk, request: web.Request, status: int, text: str) -> web.Response:
    """A page that could not be made just now asks for itself again; a form is the visitor's to send again."""
    title, soon = _TITLES.get(status, HTTPStatus(status).phrase), status == 503 and request.method == "GET"
    return desk.show(request, "problem.html", {"title": title, "text": text, "soon": soon}, status)


def _away(request: web.Request, error: StoreUnavailable) -> str:
    if request.method == "GET":
        return f"{error}."
    return f"{error}. Whether anything was changed is not known: go back, reload the page and look, then try again."


_TITLES = {503: "Not just now"}

_WORDS = {
    400: "The form was not complete. Go back, reload the page, and try again.",
    403: "This form was not made for your session. Go back, reload the page, and try again.",
    404: "There is no such page here.",
    405: "That cannot be done with this page.",
    413: "The form is larger than 1 MiB.",
}


def _words(error: web.HTTPException | ApiError) -> str:
    if isinstance(error, web.HTTPException):
        default = HTTPStatus(error.status).phrase
        return error.reason if error.reason != default else _WORDS.get(error.status, default)
    message = error.message
    lines = (
        [message]
        if isinstance(message, str)
        else [line if isinstance(line, str) else "; ".join(line) for line in message]
    )
    return "; ".join(lines)


def _logged_in(desk: Desk) -> Middleware:
    @web.middleware
    async def find(request: web.Request, handler: Handler) -> web.StreamResponse:
        found = await desk.sessions.find(request.cookies.get(COOKIE, ""))
        if found is not None:
            request[SESSION], request[CALLER] = found
        elif request.path not in OPEN and not request.path.startswith(f"{ROOT}/static/"):
            return _to_login(request)
        return await handler(request)

    return find


def _to_login(request: web.Request) -> web.Response:
    """Back here afterwards; after a form, to the page that it was on: nothing is sent twice unasked."""
    back = request.raw_path if request.method == "GET" else _page_of_form(request)
    target = link("/login", {"next": back})
    if request.headers.get("HX-Request") == "true":  # a part of a page would be put in the place of the part
        return web.Response(status=401, headers={"HX-Redirect": target})
    return web.Response(status=303, headers={"Location": target})


def _page_of_form(request: web.Request) -> str | None:
    """The log-in leads to pages of the console alone, whatever this says."""
    page = urlsplit(request.headers.get("Referer", ""))
    return page._replace(scheme="", netloc="").geturl() if page.netloc == request.host else None


def _from_here(request: web.Request) -> bool:
    """What browsers say of it: `Sec-Fetch-Site` over TLS and on loopback, else `Origin`, which names the host that they
    know. Programs say neither."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site in ("same-origin", "none")
    forwarded = request.headers.get("X-Forwarded-Host", "").partition(",")[0].strip()
    return origin is None or urlsplit(origin).netloc in (request.host, forwarded or request.host)


def _meant(sessions: Sessions) -> Middleware:
    """A change comes from a page of ours: it carries the session's token, and no other site is its origin."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            if not _from_here(request):
                raise web.HTTPForbidden
            if SESSION in request and not await has_token(request):
                raise web.HTTPForbidden
        return await handler(request)

    async def has_token(request: web.Request) -> bool:
        return sessions.is_form_token(request[SESSION], asked(await read_form(request), FORM_TOKEN))

    return check

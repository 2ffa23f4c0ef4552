"""Logging in with a key, and out again."""

import re

from aiohttp import web

from worker.api.auth import Authentication
from worker.api.errors import ApiError
from worker.console.frame.desk import SESSION, Desk, asked, is_https, read_form
from worker.console.frame.pages import ROOT, link
from worker.console.frame.sessions import SESSION_SECONDS

COOKIE = "webhook_console"
LONGEST_KEY = 4096

_OURS = re.compile(rf"{ROOT}(?:[/?][\x21-\x5b\x5d-\x7e]*)?")
"""Where a log-in may lead: printable ASCII without a backslash, which browsers take for a slash."""


class Login:
    """The key is the API's: AUTHENTICATION_API_KEY, or an instance's own token, which sees that instance alone."""

    def __init__(self, desk: Desk, authentication: Authentication) -> None:
        self._desk = desk
        self._authentication = authentication

    async def page(self, request: web.Request) -> web.Response:
        """GET /console/login"""
        if SESSION in request:
            raise web.HTTPSeeOther(_ours(request.query.get("next", "")))
        return self._form(request, request.query.get("next", ""))

    async def log_in(self, request: web.Request) -> web.Response:
        """POST /console/login; a wrong key is answered later and later, as the API does."""
        form = await read_form(request)
        key, following = asked(form, "key"), asked(form, "next")
        try:
            caller = await self._authentication.caller(key[:LONGEST_KEY], request.remote)
        except ApiError:
            return self._form(request, following, "This key is not known here.", 401)
        response = web.Response(status=303, headers={"Location": _ours(following)})
        cookie = self._desk.sessions.begin(key[:LONGEST_KEY], caller)
        response.set_cookie(
            COOKIE,
            cookie,
            path=ROOT,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=is_https(request),
        )
        return response

    async def log_out(self, request: web.Request) -> web.Response:
        """POST /console/logout"""
        if SESSION in request:
            self._desk.sessions.end(request[SESSION])
        response = web.Response(status=303, headers={"Location": link("/login", {"done": "1"})})
        response.del_cookie(COOKIE, path=ROOT, httponly=True, samesite="Strict")
        return response

    def _form(self, request: web.Request, following: str, error: str = "", status: int = 200) -> web.Response:
        values = {"next": following, "error": error, "logged_out": "done" in request.query}
        return self._desk.show(request, "login.html", values, status)


def _ours(following: str) -> str:
    """A page of the console, whatever somebody wrote into a link."""
    return following if _OURS.fullmatch(following) else ROOT

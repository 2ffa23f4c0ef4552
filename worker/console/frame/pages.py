"""Renders pages: jinja2 with every value escaped, and made visible where it would move or hide text."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from worker.basics.clock import Clock
from worker.basics.moments import moment_of
from worker.basics.printable import printable, printable_lines
from worker.console import shown
from worker.console.reasons import FOR_GOOD, meaning

ROOT = "/console"

POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
"""No inline script or style, nothing from elsewhere, and no page of others around it."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

FOR_EVER = "public, max-age=31536000, immutable"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOLDER = files("worker.console")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load, under a name that changes with its content."""

    name: str
    content: bytes
    content_type: str


@cache
def assets() -> dict[str, Asset]:
    """By the name in the package."""
    found = {}
    for file in (_FOLDER / "static").iterdir():
        stem, dot, suffix = file.name.rpartition(".")
        content_type = _TYPES.get(dot + suffix)
        if content_type is not None:
            found[file.name] = _asset(file, stem, suffix, content_type)
    return found


def _asset(file: Traversable, stem: str, suffix: str, content_type: str) -> Asset:
    content = file.read_bytes()
    return Asset(f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}", content, content_type)


class Pages:
    """`now` gives Unix seconds, for times relative to it."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._served = {asset.name: asset for asset in assets().values()}
        self._environment = _environment()

    async def serve_asset(self, request: web.Request) -> web.Response:
        """GET /console/static/{name}: the same for everybody, without a session."""
        asset = self._served.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        headers = {"Cache-Control": FOR_EVER}
        return web.Response(body=asset.content, content_type=asset.content_type, charset="utf-8", headers=headers)

    def render(self, template: str, values: Mapping[str, Any], status: int = 200) -> web.Response:
        """The page as an answer."""
        text = self._environment.get_template(template).render({**values, "now": self._now()})
        return web.Response(text=text, status=status, content_type="text/html")


def link(path: str, query: Mapping[str, object] | None = None) -> str:
    """A URL of the console; what is None or "" is left out of its query."""
    given = {name: str(value) for name, value in (query or {}).items() if value not in (None, "")}
    return ROOT + path + (f"?{urlencode(given, errors='surrogatepass')}" if given else "")


def url_of_asset(name: str) -> str:
    return f"{ROOT}/static/{assets()[name].name}"


@pass_context
def _moment(context: Context, ms: float) -> shown.Moment:
    return shown.moment(ms, context["now"])


@cache
def _environment() -> Environment:
    """One for all: its templates are compiled once."""
    environment = Environment(
        loader=FileSystemLoader(str(_FOLDER / "templates")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {
        "link": link,
        "asset": url_of_asset,
        "outcome_of": shown.outcome,
        "meaning": meaning,
        "for_good": FOR_GOOD,
        "is_stored": shown.is_stored,
    }
    environment.filters |= {
        "moment": _moment,
        "number": shown.number,
        "duration": shown.duration,
        "size": shown.size,
        "spark": shown.spark,
        "percent": lambda span: shown.percent(span.delivered, span.attempts),
        "unix_ms": lambda text: moment_of(text) * 1000,
        "whole_day": shown.whole_day,
        "as_typed": lambda text: _Lines(text.encode(errors="replace").decode()),
        "lines": lambda text: _Lines(printable_lines(text)),
    }
    return environment


class _Lines(str):
    """Text whose line feeds are its own: `_visible` leaves it."""

    __slots__ = ()


def _visible(value: object) -> object:
    """What a template's {{ }} shows: nothing for None, and no character of others that hides or reorders text."""
    if value is None:
        return ""
    if isinstance(value, _Lines) or hasattr(value, "__html__"):
        return value
    return printable(value) if isinstance(value, str) else value

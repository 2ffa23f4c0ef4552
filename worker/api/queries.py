"""Query parameters: a call takes those that its OpenAPI document names, each once.

A misspelt `id` would mean `default`, and delete or pause another webhook than the one that was meant.
"""

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.api.errors import invalid
from worker.api.openapi.document import document
from worker.webhooks.fields import Problem


def is_readable(request: web.Request) -> bool:
    """Whether its URL is percent-encoded UTF-8: anything else would be read as another one."""
    try:
        unquote_to_bytes(request.raw_path).decode()
    except UnicodeDecodeError:
        return False
    return True


def only_known_parameters() -> Middleware:
    """Raises ApiError (400) with each parameter that is unknown or given twice. Calls without a document pass."""
    known = _parameters()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        path = "" if resource is None else resource.canonical.removesuffix("{slash}")
        names = known.get((path, request.method))
        if names is not None and request.query:
            problems = [Problem(name[:100], _told(names)) for name in dict.fromkeys(request.query) if name not in names]
            twice = [name for name in dict.fromkeys(request.query) if len(request.query.getall(name)) > 1]
            problems += [Problem(name[:100], "is given twice") for name in twice]
            if problems:
                raise invalid(problems)
        return await handler(request)

    return check


def _told(names: frozenset[str]) -> str:
    return f"is no parameter here; there are {', '.join(sorted(names))}" if names else "is no parameter: there are none"


def _parameters() -> Mapping[tuple[str, str], frozenset[str]]:
    """Of each call that needs a key, by its path and method."""
    calls = {(path, method): call for path, methods in document()["paths"].items() for method, call in methods.items()}
    return {
        (path, method.upper()): frozenset(each["name"] for each in call.get("parameters", ()) if each["in"] == "query")
        for (path, method), call in calls.items()
        if call.get("security", True)
    }

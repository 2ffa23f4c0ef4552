"""Every refusal in Evolution's envelope: `{"status", "error", "response": {"message"}}`."""

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from worker.webhooks.fields import Problem
from worker.webhooks.store import RowDamaged, StoreReadOnly, StoreUnavailable

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
SERVER = "webhook-worker"

Message = str | Sequence[str] | Sequence[Sequence[str]]
"""Evolution's own three forms: a text (401), a list (404, 5xx), a list of lists (fields of a body)."""


class ApiError(Exception):
    """Becomes the answer; the message is shown to the caller, so it holds no secret."""

    def __init__(self, status: int, message: Message, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(message))
        self.status = status
        self.message = message
        self.headers = headers


class Invalid(ApiError):
    """400: `problems`, one line each, are about fields of what was sent."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(400, [[str(problem) for problem in problems]])
        self.problems = tuple(problems)


def invalid(problems: Sequence[Problem]) -> Invalid:
    """400 with one line a problem."""
    return Invalid(problems)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized")


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """ASCII only: whatever text a request held can be repeated, unpaired surrogates too."""
    text = json.dumps(body, separators=(",", ":"))
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


def answer(error: ApiError) -> web.Response:
    envelope = {
        "status": error.status,
        "error": HTTPStatus(error.status).phrase,
        "response": {"message": error.message},
    }
    return json_answer(envelope, error.status, error.headers)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost middleware: nothing leaves the API but its own answers."""
    try:
        response = await handler(request)
    except ApiError as error:
        response = answer(error)
    except RowDamaged as error:
        response = answer(ApiError(500, [str(error)]))
    except StoreReadOnly as error:
        response = answer(ApiError(409, [str(error)]))
    except StoreUnavailable as error:
        response = answer(ApiError(503, [str(error)], {"Retry-After": str(RETRY_AFTER_SECONDS)}))
    except RecursionError:  # of whatever looks at a body that the parser just let through
        response = answer(ApiError(400, [["the body is nested too deeply"]]))
    except web.HTTPException as error:
        response = answer(_of_http(error, request))
    except Exception:
        log.exception("a fault of ours in %s %s", request.method, request.match_info.route.name)
        response = answer(ApiError(500, ["a fault of the worker: its log says which"]))
    response.headers["Server"] = SERVER
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def _of_http(error: web.HTTPException, request: web.Request) -> ApiError:
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return ApiError(405, [f"{request.method} is not allowed here, only {allowed}"], {"Allow": allowed})
        case web.HTTPNotFound():
            return ApiError(404, [f"Cannot {request.method} {request.path[:200]}"])
        case web.HTTPRequestEntityTooLarge():
            return ApiError(413, ["the body has more than 1 MiB"])
    return ApiError(error.status, [error.reason])

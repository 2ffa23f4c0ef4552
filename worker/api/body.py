"""The JSON body of a request: read within bounds, parsed strictly."""

import asyncio
from typing import Any

from aiohttp import web

from worker.api.errors import ApiError
from worker.basics.printable import printable
from worker.basics.strict_json import NotStrict, strict_json

LONGEST_BODY = 1024 * 1024
BODY_SECONDS = 30.0
"""For reading the body: a client that sends it a byte at a time does not hold a connection for ever."""


async def read_object(request: web.Request, *, empty: bool = False) -> dict[str, Any]:
    """The body as a JSON object; `empty`: no body at all counts as {}. Raises ApiError."""
    if empty and not request.can_read_body:
        return {}
    parsed = parse(await read_bytes(request))
    if not isinstance(parsed, dict):
        raise ApiError(400, [[f"the body must be a JSON object, not {_kind(parsed)}"]])
    return parsed


async def read_bytes(request: web.Request) -> bytes:
    """The body as it came. Raises ApiError."""
    _check_type(request)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise ApiError(408, [f"the body did not arrive within {BODY_SECONDS:g} s"]) from None


def parse(raw: bytes) -> object:
    """Raises ApiError."""
    try:
        return strict_json(raw.decode(), MOST_KEYS)
    except UnicodeDecodeError as error:
        raise _bad(f"is not UTF-8: byte {error.start + 1} is 0x{raw[error.start]:02x}") from None
    except NotStrict as error:
        where = printable(error.place)[:200]
        raise (ApiError(400, [[f"{where}: {error}"]]) if where else _bad(str(error))) from None


def _bad(text: str) -> ApiError:
    return ApiError(400, [[f"the body {text}"]])


MOST_KEYS = 200
"""Of one object: a webhook has twenty, and each unknown key costs a search for the nearest known one."""


def _check_type(request: web.Request) -> None:
    charset = (request.charset or "utf-8").lower()
    if request.content_type != "application/json" or charset not in ("utf-8", "utf8"):
        raise ApiError(415, ["the body must be sent with content-type: application/json (UTF-8)"])


_KINDS = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a number")

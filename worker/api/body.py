"""The JSON body of a request: read within bounds, parsed strictly."""

import asyncio
import json
from typing import Any, NoReturn

from aiohttp import web

from worker.api.errors import ApiError

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
    """RFC 8259 without what its parsers disagree on: no key twice, no NaN, no depth without end. Raises ApiError."""
    try:
        return json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise _bad(f"is not UTF-8: byte {error.start + 1} is 0x{raw[error.start]:02x}") from None
    except json.JSONDecodeError as error:
        raise _bad(f"is not JSON: {error.msg}: line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise _bad("is nested too deeply") from None
    except _Refused as error:
        raise _bad(str(error)) from None
    except ValueError:  # the interpreter's own bound on digits
        raise _bad("holds a number with too many digits") from None


class _Refused(Exception):
    """The text says what about."""


def _bad(text: str) -> ApiError:
    return ApiError(400, [[f"the body {text}"]])


MOST_KEYS = 200
"""Of one object: a webhook has twenty, and each unknown key costs a search for the nearest known one."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_KEYS:
        raise _Refused(f"has an object with {len(pairs)} keys, {MOST_KEYS} at most are allowed")
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Refused(f"says the key {twice!r:.100} twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise _Refused(f"holds {name}, which is not JSON")


def _check_type(request: web.Request) -> None:
    charset = (request.charset or "utf-8").lower()
    if request.content_type != "application/json" or charset not in ("utf-8", "utf8"):
        raise ApiError(415, ["the body must be sent with content-type: application/json (UTF-8)"])


_KINDS = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a number")

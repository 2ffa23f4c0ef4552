"""The webhooks of a running Evolution, over its API (1.x and 2.x), for `webhook import`."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from worker.basics.address import Address
from worker.basics.bodies import gathered
from worker.basics.printable import printable
from worker.stores.evolution.sent import sent
from worker.webhooks.declaration import BY_NAME
from worker.webhooks.store import StoreUnavailable
from worker.webhooks.transfer import EVOLUTION_FIELDS, Candidate, from_evolution

AT_ONCE = 8
SECONDS = 30.0
LARGEST_ANSWER = 64 * 2**20
MOST_OF_AN_ADDRESS = 500
"""Characters of register_url that are shown."""

_KEYS = tuple((name, BY_NAME[name].spellings) for name in EVOLUTION_FIELDS)
"""Each field with the names that Evolution's versions answer it by."""


async def fetch(url: str, api_key: str) -> list[Candidate]:
    """One GET an instance, AT_ONCE at a time, with the global `api_key`. Raises ValueError, StoreUnavailable."""
    try:
        address = Address.parse(url, ("http", "https"))
    except ValueError as error:
        raise ValueError(f"must be {error}") from None
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    async with aiohttp.ClientSession(headers={"apikey": api_key}, timeout=timeout, trust_env=False) as session:
        evolution = _Evolution(session, url.rstrip("/"), address)
        names = _names(await evolution.get("/instance/fetchInstances"))
        found = await asyncio.gather(*map(evolution.webhook, names))
    return [candidate for candidate in found if candidate is not None]


class _Evolution:
    def __init__(self, session: aiohttp.ClientSession, url: str, address: Address) -> None:
        self._session = session
        self._url = url
        self._address = address
        self._places = asyncio.Semaphore(AT_ONCE)

    async def webhook(self, instance: str) -> Candidate | None:
        async with self._places:
            found = await self.get(f"/webhook/find/{_segment(instance)}")
        return candidate(instance, found)

    async def get(self, path: str) -> Any:
        """JSON; None for 404. A redirect is not followed: the key is meant for this host."""
        try:
            url = URL(f"{URL(self._url)}{path}", encoded=True)
            async with self._session.get(url, allow_redirects=False) as response:
                content = await gathered(response.content.iter_any(), LARGEST_ANSWER)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self._failed(path, str(error) or type(error).__name__) from None
        if status == 404:
            return None
        if status == 503 and (unlicensed := _unlicensed(content)):
            raise self._failed(path, unlicensed)
        if status != 200:
            raise self._failed(path, "the API key is refused" if status in (401, 403) else f"it answered {status}")
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            raise self._failed(path, "it answered no JSON: is this Evolution's base URL?") from None

    def _failed(self, path: str, problem: str) -> StoreUnavailable:
        return StoreUnavailable(f"Evolution: GET {path}: {self._address.clean(problem)}")


def _unlicensed(content: bytes) -> str | None:
    """Evolution 2.4 answers 503 to every call until it is activated; None: that is not why."""
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    match found:
        case {"code": "LICENSE_REQUIRED", **more}:
            address = more.get("register_url")
            shown = printable(address[:MOST_OF_AN_ADDRESS]) if isinstance(address, str) else ""
            where = f": open {shown}" if shown else " in its manager"
            return f"this Evolution is not activated yet (LICENSE_REQUIRED); activate it{where}, then import again"
    return None


def candidate(instance: str, found: object) -> Candidate | None:
    """The answer of `/webhook/find`; None: nothing is set."""
    if isinstance(found, Mapping) and isinstance(found.get("webhook"), Mapping):
        found = found["webhook"]
    if not isinstance(found, Mapping) or not found.get("url"):
        return None
    known = {name: next((found[key] for key in keys if found.get(key) is not None), None) for name, keys in _KEYS}
    return from_evolution(sent(**known), instance)


def _segment(instance: str) -> str:
    """A part of a path. `.` and `..` would be taken for what they mean there (RFC 3986, 5.2.4), but for `%2E`."""
    quoted = quote(instance, safe="")
    return quoted.replace(".", "%2E") if instance in (".", "..") else quoted


def _names(found: object) -> list[str]:
    """1.x: `[{"instance": {"instanceName": ...}}]`; 2.x: `[{"name": ...}]`. Raises StoreUnavailable."""
    if not isinstance(found, list):
        raise StoreUnavailable("Evolution: GET /instance/fetchInstances: it answered no list of instances")
    names = []
    for item in found:
        match item:
            case {"instance": {"instanceName": str() as name}} | {"name": str() as name}:
                names.append(name)
    return list(dict.fromkeys(names))

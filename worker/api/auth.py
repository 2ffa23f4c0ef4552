"""Who may do what: the operator's key for everything, an instance's own token for that instance."""

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from worker.api.errors import unauthorized
from worker.api.ports import TokenOwner

FREE_FAILURES = 5
"""Wrong keys that an address may present before its refusals slow down: a person mistypes, a script is fixed."""

FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
FORGET_SECONDS = 60.0
MOST_ADDRESSES = 1024
MOST_WAITING = 256
"""Refusals held back at a time: beyond, they go out at once, so that a flood cannot keep more than so many."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made the request: the operator (`instance` None, reaches every one) or one instance."""

    instance: str | None = None

    def reaches(self, instance: str) -> bool:
        return self.instance is None or self.instance == instance


CALLER = web.RequestKey("caller", Caller)


class Failures:
    """Wrong keys by address, bounded. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def delay(self, address: str) -> float:
        """Notes one more and says how many seconds its refusal is to be held back."""
        now = self._clock()
        count, last = self._seen.pop(address, (0, now))
        count = 1 if now - last > FORGET_SECONDS else count + 1
        self._seen[address] = (count, now)
        while len(self._seen) > MOST_ADDRESSES:
            self._seen.popitem(last=False)
        over = count - FREE_FAILURES
        return min(FIRST_DELAY * 2.0 ** min(over - 1, 16), LONGEST_DELAY) if over > 0 else 0.0


class Authentication:
    """A middleware around everything but the `open_paths`. The right key is never made to wait."""

    def __init__(
        self,
        api_key: str,
        token_owner: TokenOwner | None,
        failures: Failures,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        open_paths: frozenset[str] = frozenset(),
    ) -> None:
        if not api_key:
            raise ValueError("the API needs a key")
        self._api_key = api_key.encode()
        self._token_owner = token_owner
        self._failures = failures
        self._sleep = sleep
        self._open_paths = open_paths
        self._waiting = 0

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path not in self._open_paths:
                request[CALLER] = await self.caller(request.headers.get("apikey", ""), request.remote)
            return await handler(request)

        return authenticate

    async def known(self, key: str) -> Caller | None:
        """Whose key it is; None: nobody's. Raises StoreUnavailable."""
        if hmac.compare_digest(key.encode(errors="surrogateescape"), self._api_key):
            return Caller()
        owner = await self._token_owner(key) if self._token_owner and key else None
        return Caller(owner) if owner else None

    async def caller(self, key: str, remote: str | None) -> Caller:
        """As `known`, for whoever presents a key from the address `remote`. Raises ApiError (401), held back after
        several wrong keys from there."""
        found = await self.known(key)
        if found is None:
            await self._hold_back(self._failures.delay(_network(remote)))
            raise unauthorized()
        return found

    async def _hold_back(self, seconds: float) -> None:
        if not seconds or self._waiting >= MOST_WAITING:
            return
        self._waiting += 1
        try:
            await self._sleep(seconds)
        finally:
            self._waiting -= 1


def _network(remote: str | None) -> str:
    """One IPv6 customer has a /64 at least, so that counts as one address."""
    try:
        address = ip_address(remote or "")
    except ValueError:
        return remote or ""
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))

"""Waiting for a receiver that refuses connections: its restart often takes less than a second."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_delay,
    wait_exponential,
    wait_random_exponential,
)

from worker.http.connections import Origin
from worker.http.egress import egress_refusal

Connect = Callable[[Origin, float], Awaitable[Connection]]

PATIENCE_SECONDS = 2.0
"""How long a refused connect is tried again within one attempt: a receiver's restart often takes less."""

FIRST_WAIT_SECONDS = 0.1
HANGING_SECONDS = 1.0
"""After which a connect that neither succeeds nor is refused keeps nobody else from trying."""


class _Outage(NamedTuple):
    """Of an origin: its first and its last refusal since it last let somebody in, on the event loop's clock."""

    since: float
    last: float
    refused: aiohttp.ClientConnectorError


class Comeback:
    """Of all who wait for one origin, one tries to connect; when he succeeds he calls two, and so does each of them.

    A connect that is refused costs 0.4 ms: hundreds who tried would take from the healthy what their own POSTs cost,
    and one that lets in a single connection would be asked by all at once. So who comes within FIRST_WAIT_SECONDS of a
    refusal does not try either.

    All waits end PATIENCE_SECONDS after the first refusal, and who comes later fails at once, until somebody is let in
    or nobody was refused for as long. If each waited anew, a host that is down would hold all its places, and its
    circuits would open late. Given up: circuits open when a receiver's restart takes longer. `jitter` (0..1) spreads
    the tries, and the ends of the waits.
    """

    def __init__(
        self,
        connect: Connect,
        jitter: float,
        patience: float = PATIENCE_SECONDS,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._connect = connect
        self._jitter = jitter
        self._patience = patience
        self._uniform = uniform
        self._again = AsyncRetrying(retry=retry_if_exception(may_come_back), wait=_jittered(jitter), reraise=True)
        self._leading: dict[ConnectionKey, object] = {}
        self._waiting: dict[ConnectionKey, deque[asyncio.Future[None]]] = {}
        self._outages: dict[ConnectionKey, _Outage] = {}

    def __len__(self) -> int:
        """Origins of which anything is kept: none once they let in, or were not asked for as long as the patience."""
        return len(self._outages.keys() | self._leading.keys() | self._waiting.keys())

    async def connection(self, origin: Origin, deadline: float) -> Connection:
        """Raises what `connect` raises, a refusal only when nobody was let in in time.

        `deadline` is on the event loop's clock. A refusal is told before it: it must not pass for a timeout.
        """
        refused = self._just_refused(origin.key)
        if refused is None:
            try:
                return await self._tried(origin, deadline)
            except aiohttp.ClientConnectorError as error:
                if not may_come_back(error):
                    raise
                refused = error
        now = asyncio.get_running_loop().time()
        patience = self._patience * self._uniform(1 - self._jitter, 1)
        until = min(self._outages[origin.key].since + patience, (now + deadline) / 2)
        return await self._waited(origin, until, deadline, refused)

    def _just_refused(self, key: ConnectionKey) -> aiohttp.ClientConnectorError | None:
        """A refusal of the last FIRST_WAIT_SECONDS, for one more to raise."""
        outage = self._outages.get(key)
        if outage is None or asyncio.get_running_loop().time() - outage.last > FIRST_WAIT_SECONDS:
            return None
        return type(outage.refused)(*outage.refused.args)

    async def _tried(self, origin: Origin, deadline: float) -> Connection:
        try:
            connection = await self._connect(origin, deadline)
        except aiohttp.ClientConnectorError as error:
            if may_come_back(error):
                self._remember(origin.key, error)
            raise
        self._outages.pop(origin.key, None)
        return connection

    def _remember(self, key: ConnectionKey, refused: aiohttp.ClientConnectorError) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        before = self._outages.get(key)
        outage = self._outages[key] = _Outage(before.since if before else now, now, refused)
        loop.call_later(self._patience, self._forget, key, outage)

    def _forget(self, key: ConnectionKey, outage: _Outage) -> None:
        if self._outages.get(key) is outage:
            del self._outages[key]

    async def _waited(self, origin: Origin, until: float, deadline: float, refused: OSError) -> Connection:
        """Raises `refused`, or a later refusal, if nobody listens by then; else what `connect` raises."""
        now = asyncio.get_running_loop().time
        try:
            while (left := until - now()) > 0:
                if origin.key not in self._leading:
                    return await self._lead(origin, left, deadline)
                if not await self._called(origin.key, left):
                    break
                try:
                    connection = await self._tried(origin, deadline)
                except aiohttp.ClientConnectorError as error:
                    if not may_come_back(error):
                        raise
                else:
                    self._call(origin.key, 2)
                    return connection
            raise refused
        except BaseException:  # cancelled too: somebody else must try
            if origin.key not in self._leading:
                self._call(origin.key, 1)
            raise

    async def _lead(self, origin: Origin, seconds: float, deadline: float) -> Connection:
        me = self._leading[origin.key] = object()
        loop = asyncio.get_running_loop()

        def step_down(call: int) -> None:
            if self._leading.get(origin.key) is me:
                del self._leading[origin.key]
                self._call(origin.key, call)

        async def attempt() -> Connection:
            hanging = loop.call_later(HANGING_SECONDS, step_down, 1)
            try:
                return await self._tried(origin, deadline)
            finally:
                hanging.cancel()

        try:
            await asyncio.sleep(min(FIRST_WAIT_SECONDS, seconds))
            # A copy, because tenacity keeps the state of a call in the object.
            again = self._again.copy(stop=stop_after_delay(seconds - FIRST_WAIT_SECONDS))
            connection: Connection = await again(attempt)
            step_down(2)
        finally:
            step_down(0)  # `_waited` calls the next one
        return connection

    async def _called(self, key: ConnectionKey, seconds: float) -> bool:
        """Waits; False when nobody called in time."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = self._waiting.setdefault(key, deque())
        line.append(turn)
        try:
            await asyncio.wait((turn,), timeout=seconds)
        finally:
            if not turn.done():
                line.remove(turn)
                self._call(key, 0)
        return turn.done()

    def _call(self, key: ConnectionKey, count: int) -> None:
        """The first `count` of those who wait, to connect now."""
        line = self._waiting.get(key)
        if line is None:
            return
        for _ in range(min(count, len(line))):
            line.popleft().set_result(None)
        if not line:
            del self._waiting[key]


def may_come_back(error: BaseException) -> bool:
    """Nobody listens at the address (yet): nothing was sent, so trying again repeats nothing."""
    lasting = (aiohttp.ClientConnectorDNSError, aiohttp.ClientSSLError)
    return (
        isinstance(error, aiohttp.ClientConnectorError)
        and not isinstance(error, lasting)
        and egress_refusal(error) is None
    )


def _jittered(jitter: float) -> Callable[[RetryCallState], float]:
    wait = wait_exponential(multiplier=0.1, max=0.5)
    spread = wait_random_exponential(multiplier=0.1, max=0.5)
    return lambda state: (1 - jitter) * wait(state) + jitter * spread(state)

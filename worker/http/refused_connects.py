"""Attempts whose connect was refused wait for the receiver: its restart often takes less than a second."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import NamedTuple

import aiohttp
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_delay,
    wait_exponential,
    wait_random_exponential,
)

from worker.http.aiohttp_internals import Connection, ConnectionKey, Origin
from worker.http.egress import egress_refusal
from worker.http.tunnel import ProxyUnreachable, TunnelFailed

Connect = Callable[[Origin, float], Awaitable[Connection]]

PATIENCE_SECONDS = 2.0
PATIENCE_SPREAD = 1.2
"""How long one attempt tries a refused connect again: PATIENCE_SECONDS, times a random factor up to PATIENCE_SPREAD so
that the attempts that wait do not give up together. A receiver's restart often takes less."""

FIRST_WAIT_SECONDS = 0.1
FRESH_SECONDS = FIRST_WAIT_SECONDS
"""A refused connect that is no older says how the receiver is now."""
HANGING_SECONDS = 1.0
"""A connect that has neither succeeded nor been refused after so long keeps no other attempt from connecting."""


class Call(Enum):
    """Why an attempt that waits is woken."""

    CONNECT = auto()
    """Another attempt was connected."""
    LEAD = auto()
    """No attempt tries to connect any more: this one shall."""


class _Outage(NamedTuple):
    """An origin's first and last refused connect since it was last reached, on the event loop's clock."""

    since: float
    last: float
    refused: aiohttp.ClientConnectorError


class RefusedConnects:
    """Lets one attempt at a time connect to an origin that refuses; each that is connected wakes two that wait.

    A refused connect costs 0.4 ms: hundreds of them would take from the healthy what their own POSTs cost, and a
    receiver with room for one connection would be asked by all at once. So an attempt that starts within
    FRESH_SECONDS of a refused connect waits without connecting.

    Once an origin has refused connects for PATIENCE_SECONDS while other origins answered, new attempts fail at once:
    if each waited anew, a host that is down would hold all its places, and its circuits would open late. Trade-off: a
    restart longer than that opens circuits. While no origin answers the fault may be ours, and every attempt waits.
    An origin that has refused no connect for PATIENCE_SECONDS is waited for again. `jitter` (0..1) spreads the tries.
    """

    def __init__(
        self,
        connect: Connect,
        jitter: float,
        patience: float = PATIENCE_SECONDS,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._connect = connect
        self._patience = patience
        self._uniform = uniform
        self._wait = _jittered(jitter)
        self._again = AsyncRetrying(retry=retry_if_exception(may_come_back), reraise=True)
        self._leading: dict[ConnectionKey, object] = {}
        self._waiting: dict[ConnectionKey, deque[asyncio.Future[Call]]] = {}
        self._outages: dict[ConnectionKey, _Outage] = {}
        self._answered = float("-inf")

    def __len__(self) -> int:
        """Origins of which anything is kept: none once they let in, or were not asked for as long as the patience."""
        return len(self._outages.keys() | self._leading.keys() | self._waiting.keys())

    async def connection(self, origin: Origin, deadline: float) -> Connection:
        """A new connection. Raises what `connect` raises, a refused connect only when none succeeded in time.

        `deadline` is on the event loop's clock. A refused connect is raised before it: it must not pass for a timeout.
        """
        refused = self._just_refused(origin.key)
        if refused is None:
            try:
                return await self._tried(origin, deadline)
            except aiohttp.ClientConnectorError as error:
                if not may_come_back(error):
                    raise
                refused = error
        return await self._waited(origin, self._until(origin.key, deadline), deadline, refused)

    def answered(self, origin: Origin) -> None:
        """The origin has answered: our side works, and it is up, though it may refuse more connections than it has."""
        self._answered = asyncio.get_running_loop().time()
        self._outages.pop(origin.key, None)

    def _just_refused(self, key: ConnectionKey) -> aiohttp.ClientConnectorError | None:
        """The refused connect of the last FRESH_SECONDS, as a new exception for another attempt."""
        outage = self._outages.get(key)
        if outage is None or asyncio.get_running_loop().time() - outage.last > FRESH_SECONDS:
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
        self._call(origin.key, 2, Call.CONNECT)
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

    def _until(self, key: ConnectionKey, deadline: float) -> float:
        now, since = asyncio.get_running_loop().time(), self._outages[key].since
        if since < self._answered and now - since >= self._patience:
            return now
        return min(now + self._patience * self._uniform(1, PATIENCE_SPREAD), (now + deadline) / 2)

    async def _waited(self, origin: Origin, until: float, deadline: float, refused: OSError) -> Connection:
        """Raises `refused` if nobody listens until `until`; else what `connect` raises."""
        key, now = origin.key, asyncio.get_running_loop().time
        try:
            while until > now():
                if key not in self._leading:
                    return await self._lead(origin, until, deadline)
                called = await self._called(key, until - now())
                if called is Call.LEAD:
                    continue
                if called is None and key in self._outages:
                    break
                try:
                    return await self._watched(origin, deadline, lambda: self._call(key, 1, Call.LEAD))
                except aiohttp.ClientConnectorError as error:
                    if not may_come_back(error):
                        raise
            raise refused
        except BaseException:  # cancelled too: another attempt must try to connect
            if key not in self._leading:
                self._call(key, 1, Call.LEAD)
            raise

    async def _lead(self, origin: Origin, until: float, deadline: float) -> Connection:
        key, now = origin.key, asyncio.get_running_loop().time
        me = self._leading[key] = object()

        def step_down(call: int = 0) -> None:
            if self._leading.get(key) is me:
                del self._leading[key]
                self._call(key, call, Call.LEAD)

        try:
            await asyncio.sleep(min(FIRST_WAIT_SECONDS, until - now()))
            # A copy, because tenacity keeps the state of a call in the object.
            again = self._again.copy(
                stop=stop_after_delay(until - now()),
                wait=lambda state: min(self._wait(state), max(0.0, until - now())),
            )
            connection: Connection = await again(self._watched, origin, deadline, lambda: step_down(1))
        finally:
            step_down()  # `_waited` wakes the next one
        return connection

    async def _watched(self, origin: Origin, deadline: float, hangs: Callable[[], None]) -> Connection:
        hanging = asyncio.get_running_loop().call_later(HANGING_SECONDS, hangs)
        try:
            return await self._tried(origin, deadline)
        finally:
            hanging.cancel()

    async def _called(self, key: ConnectionKey, seconds: float) -> Call | None:
        """Waits to be woken, for so many seconds at most; None: no attempt has called."""
        turn: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        line = self._waiting.setdefault(key, deque())
        line.append(turn)
        try:
            await asyncio.wait((turn,), timeout=seconds)
        finally:
            if not turn.done():
                line.remove(turn)
                self._drop_if_empty(key)
        return turn.result() if turn.done() else None

    def _call(self, key: ConnectionKey, count: int, call: Call) -> None:
        """Wake the first `count` of the attempts that wait for this origin."""
        line = self._waiting.get(key, deque())
        for _ in range(min(count, len(line))):
            line.popleft().set_result(call)
        self._drop_if_empty(key)

    def _drop_if_empty(self, key: ConnectionKey) -> None:
        if not self._waiting.get(key, True):
            del self._waiting[key]


def may_come_back(error: BaseException) -> bool:
    """Nobody listens at the address (yet): nothing was sent, so trying again repeats nothing."""
    lasting = (aiohttp.ClientConnectorDNSError, aiohttp.ClientSSLError)
    return (
        isinstance(error, aiohttp.ClientConnectorError)
        and not isinstance(error, lasting)
        and (not isinstance(error.os_error, TunnelFailed) or isinstance(error.os_error, ProxyUnreachable))
        and egress_refusal(error) is None
    )


def _jittered(jitter: float) -> Callable[[RetryCallState], float]:
    wait = wait_exponential(multiplier=0.1, max=0.5)
    spread = wait_random_exponential(multiplier=0.1, max=0.5)
    return lambda state: (1 - jitter) * wait(state) + jitter * spread(state)

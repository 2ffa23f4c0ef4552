"""Waiting for a receiver that refuses connections: its restart often takes less than a second."""

import asyncio
from collections.abc import Awaitable, Callable

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


class Comeback:
    """Of all who wait for one origin, one tries to connect again, the others when that has succeeded.

    A connect that is refused costs 0.4 ms: hundreds who tried would take from the healthy what their own POSTs cost.
    `jitter` (0..1) spreads the waits in between.
    """

    def __init__(self, connect: Connect, jitter: float) -> None:
        self._connect = connect
        self._leads: dict[ConnectionKey, asyncio.Future[bool]] = {}
        self._again = AsyncRetrying(retry=retry_if_exception(may_come_back), wait=_jittered(jitter), reraise=True)

    async def connection(self, origin: Origin, seconds: float, deadline: float, refused: OSError) -> Connection:
        """Raises `refused` if nobody listens within so many seconds, else what `connect(origin, deadline)` raises."""
        now = asyncio.get_running_loop().time
        until = now() + seconds
        while (left := until - now()) > 0:
            lead = self._leads.get(origin.key)
            if lead is None:
                return await self._lead(origin, left, deadline)
            await asyncio.wait((lead,), timeout=left)
            if lead.done() and lead.result():
                try:
                    return await self._connect(origin, deadline)
                except aiohttp.ClientConnectorError as error:
                    if not may_come_back(error):
                        raise
        raise refused

    async def _lead(self, origin: Origin, seconds: float, deadline: float) -> Connection:
        lead = self._leads[origin.key] = asyncio.get_running_loop().create_future()
        listens = False
        try:
            # A copy, because tenacity keeps the state of a call in the object.
            again = self._again.copy(stop=stop_after_delay(seconds))
            connection: Connection = await again(self._connect, origin, deadline)
            listens = True
        finally:
            del self._leads[origin.key]
            lead.set_result(listens)
        return connection


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

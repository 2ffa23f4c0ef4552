"""Connections that come back: one supervisor, used for consuming and for publishing."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import aio_pika
import aiormq
from aio_pika.abc import AbstractConnection
from pamqp.common import FieldTable
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential
from yarl import URL

from worker.basics.address import Address
from worker.basics.tasks import end
from worker.broker.address import broker_address
from worker.broker.aiormq_internals import CuttingConnection, OurConnection, closing_of, connection_beneath, refusal_of
from worker.broker.decoders import read_whatever_comes
from worker.broker.limits import opening_refused

log = logging.getLogger(__name__)

T = TypeVar("T")

HEARTBEAT_SECONDS = 20
CONNECT_TIMEOUT_SECONDS = 15
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 15
NOTICE_SECONDS = 2.0

NO_CONNECTION = "no connection to RabbitMQ at %s: %s"

BROKER_ERRORS = (aiormq.exceptions.AMQPError, OSError, asyncio.TimeoutError, RuntimeError)
"""What a broken connection raises through aio-pika and aiormq (RuntimeError: "closed" in their own words)."""


@contextmanager
def as_broker_errors() -> Iterator[None]:
    """What waits on a connection when it dies also gets a CancelledError, or a bare Exception, from aiormq.

    So does what opens one that is hung up on in the handshake (a load balancer before a dead broker): then it is
    StopAsyncIteration or EOFError. All become ConnectionError here. A cancellation of our own task stays what it
    is: taken for one, the former would end a supervisor without a word.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise ConnectionError("the connection was closed") from None
    except Exception as error:
        if type(error) is not Exception and not isinstance(error, StopAsyncIteration | EOFError):
            raise
        raise ConnectionError("the connection was closed") from error


def in_words(error: BaseException | None) -> str:
    """An error in words: some have none but their name (TimeoutError)."""
    return str(error) or type(error).__name__


class TopologyMismatch(Exception):
    """A queue or exchange exists otherwise than the worker needs it, or there is no room for it; with the fix."""


async def connect(uri: str | Address, name: str, *, cuts: bool = False) -> AbstractConnection:
    """One connection with our heartbeat (unless the URI sets one) and a name for the broker's own lists.

    `cuts`: deliveries and confirms can be cut out of its bytes, for whoever consumes or publishes much
    (broker/cutter.py).
    Raises BROKER_ERRORS, whose texts never have the password, and ValueError for what is no broker's URI.
    """
    read_whatever_comes()
    address = broker_address(uri)
    properties: FieldTable = {"connection_name": name}
    with as_broker_errors(), _without_password(address):
        try:
            return await aio_pika.connect(
                _url(address),
                client_properties=properties,
                timeout=CONNECT_TIMEOUT_SECONDS,
                connection_class=CuttingConnection if cuts else OurConnection,
            )
        except aiormq.exceptions.InvalidFrameError as error:
            if "Connection.Close" not in str(error):
                raise
            # The answer to Connection.Open; aiormq only says that it was another frame than expected.
            raise ConnectionError(opening_refused(refusal_of(error))) from None


@contextmanager
def _without_password(address: Address) -> Iterator[None]:
    """An error of the libraries whose text quotes the password becomes one of our own that does not."""
    try:
        yield
    except BROKER_ERRORS as error:
        text = address.clean(str(error))
        if text == str(error):
            raise
        raise ConnectionError(text) from None


@asynccontextmanager
async def connected(address: Address, name: str) -> AsyncIterator[AbstractConnection]:
    """A connection for one purpose, closed after it. Raises one of BROKER_ERRORS.

    It can be cut, for those who read the archive or publish much: aiormq reads a hundred messages without a pause, in
    which this process's deliveries would stand still for 30 ms and more.
    """
    with as_broker_errors():
        connection = await connect(address, name, cuts=True)
        try:
            yield connection
        finally:
            await close(connection)


def _url(address: Address) -> URL:
    """Built anew from its parts: yarl reads an unusual URI otherwise than we do."""
    user, password = quote(address.user or "guest", safe=""), quote(address.password or "guest", safe="")
    path = "/" + quote(address.decoded_path, safe="")
    url = URL(f"{address.scheme}://{user}:{password}@{address.server}{path}", encoded=True)
    return url.with_query({"heartbeat": str(HEARTBEAT_SECONDS), **address.options})


async def while_open(connection: AbstractConnection, work: Coroutine[Any, Any, T]) -> T:
    """The work's result. Raises ConnectionError when the connection is lost and the work does not notice.

    aiormq never wakes a task that waits for room in the write queue (ten frames) of a connection that died meanwhile.
    """
    beneath = connection_beneath(connection)
    if beneath is None:
        work.close()
        raise ConnectionError("the connection was closed")
    working = asyncio.ensure_future(work)
    closing = closing_of(beneath)
    try:
        await asyncio.wait({working, closing}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({working}, timeout=NOTICE_SECONDS)  # most work notices, and can say more of it
        if working.done() and not working.cancelled():
            return working.result()
    finally:
        closing.cancel()
        await end(working)
    raise ConnectionError("the connection was closed")


class Client(Protocol):
    """What a supervisor keeps connected."""

    async def opened(self, connection: AbstractConnection) -> None:
        """Set up everything on a new connection; raising has it replaced by another."""

    async def broken(self) -> None:
        """Returns when the connection is gone or no longer fit for use."""

    def state(self, connected: bool) -> None:
        """Called with True when connected, False when the connection is lost."""


class Supervisor:
    """Keeps one client connected: open, set up, wait until it breaks, again with jitter. `cuts`: see `connect`."""

    def __init__(
        self,
        uri: str | Address,
        name: str,
        client: Client,
        uniform: Callable[[float, float], float],
        *,
        cuts: bool = False,
    ) -> None:
        self._cuts = cuts
        self._address = broker_address(uri)
        self._name = name
        self._client = client
        self._uniform = uniform

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            connection = await self._open_until_it_works()
            try:
                await self._broken()
            finally:
                self._client.state(False)
                await close(connection)
            log.warning("lost the connection to RabbitMQ", extra={"connection": self._name})
            # Replicas must not return to a restarted broker in step.
            await asyncio.sleep(self._uniform(0, FIRST_WAIT_SECONDS))

    async def _broken(self) -> None:
        try:
            with as_broker_errors():
                await self._client.broken()
        except BROKER_ERRORS as error:
            log.info("RabbitMQ: %s", in_words(error), extra={"connection": self._name})

    async def _open_until_it_works(self) -> AbstractConnection:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((*BROKER_ERRORS, TopologyMismatch)),
            wait=wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
            before_sleep=self._log,
        )
        connection: AbstractConnection = await retrying(self._open)
        self._client.state(True)
        log.info("connected to RabbitMQ", extra={"connection": self._name})
        return connection

    async def _open(self) -> AbstractConnection:
        connection = await connect(self._address, self._name, cuts=self._cuts)
        try:
            with as_broker_errors():
                await self._client.opened(connection)
        except BaseException:
            await close(connection)
            raise
        return connection

    def _log(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        text = "cannot work with RabbitMQ at %s: %s" if isinstance(error, TopologyMismatch) else NO_CONNECTION
        log.warning(text, self._address, self._address.clean(in_words(error)), extra={"connection": self._name})


async def close(connection: AbstractConnection, seconds: float = 5) -> None:
    """Close it within so many seconds, whatever state it is in."""
    try:
        async with asyncio.timeout(seconds):
            with as_broker_errors():
                await connection.close()
    except BROKER_ERRORS as error:
        log.debug("closing a broken connection: %s", error)

"""The archive's stream is there and bound, on a connection of its own: nothing about it stops a delivery."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

import aiormq
from aio_pika.abc import AbstractConnection

from worker.basics.address import Address
from worker.broker.archive.declared import STREAM, TYPE, stream_arguments
from worker.broker.archive.marks import BIRTH, Mark, publish_mark
from worker.broker.archive.reading import Archive
from worker.broker.connection import BROKER_ERRORS, connected, in_words, while_open
from worker.broker.declare import open_channel, queue_exists
from worker.broker.frames import bind_queue, declare_exchange, declare_queue, depth
from worker.broker.topology import Queue
from worker.delivery.ports import PublishFailed
from worker.webhooks.store import StoreUnavailable

log = logging.getLogger(__name__)

NAME = "evolution-webhook-worker archive"

FEW = 50
"""Messages, up to which an archive may have none but marks of readers: one that has more is not looked at."""

LOOK_SECONDS = 3.0
"""For messages that are there: they come at once."""

AGAIN_SECONDS = 60.0
"""Until a refusal is asked about again, and what is bound is looked at again: somebody may have deleted the stream."""


class ArchiveKeeper:
    """Declares the archive and binds it, as soon as it can, until cancelled.

    `exchanges` names those that it shall hear beside `exchange`: of the instances that have one. `declares=False`: the
    operator has made and bound it (RABBITMQ_DECLARE). `on_state` hears whether events are archived now.
    """

    def __init__(
        self,
        address: Address,
        queue: Queue,
        exchange: str,
        exchanges: Callable[[], Awaitable[Iterable[str]]],
        on_state: Callable[[bool], None],
        *,
        declares: bool,
    ) -> None:
        self._address = address
        self._queue = queue
        self._exchange = exchange
        self._exchanges = exchanges
        self._on_state = on_state
        self._declares = declares
        self._said = ""
        self._is_stream = False

    async def run(self) -> None:
        while True:
            problem = await self._tried()
            self._on_state(problem is None)
            if problem is not None and problem != self._said:
                log.warning("events are not archived, so there is no replay and no pause: %s", problem)
            self._said = problem or ""
            await asyncio.sleep(AGAIN_SECONDS)

    async def _tried(self) -> str | None:
        """Why events are not archived; None: they are."""
        try:
            async with connected(self._address, NAME) as connection:
                return await while_open(connection, self._keep(connection))
        except (PublishFailed, StoreUnavailable, *BROKER_ERRORS) as error:
            return self._address.clean(refusal(error))

    async def _keep(self, connection: AbstractConnection) -> str | None:
        if not self._declares:
            if not await queue_exists(connection, self._queue.name):
                return f"RABBITMQ_DECLARE=false and {self._queue.name} does not exist: create it"
            await _begin(connection, self._queue.name)
            return None
        if not await queue_exists(connection, self._queue.name):
            if self._is_stream:
                log.warning("the archive was deleted and is made anew: nothing from before now can be replayed")
            await _create(connection, self._queue)
        elif not self._is_stream and (await stream_arguments(connection, self._queue.name))[TYPE] != STREAM:
            return f"{self._queue.name} is no stream: delete it when nobody needs it, or ARCHIVE=false"
        self._is_stream = True  # asking costs refusals, which RabbitMQ logs
        exchanges = (self._exchange, *await self._exchanges())
        bound = await fill(connection, self._queue.name, exchanges)
        return None if bound else f"there is no exchange {self._exchange} to take events from"


async def _create(connection: AbstractConnection, queue: Queue) -> None:
    channel = await open_channel(connection)
    await declare_queue(channel, queue.name, queue.arguments)
    await channel.close()
    log.info("the archive %s was made", queue.name)


async def fill(connection: AbstractConnection, queue: str, exchanges: Iterable[str]) -> bool:
    """Binds the archive to those of the exchanges that are there; False: none is.

    Its birth stands just before the first binding, however late that comes: until then no event reaches it.
    """
    there = [each for each in exchanges if await bind(connection, queue, each, binds=False)]
    if there:
        await _begin(connection, queue)
    return any([await bind(connection, queue, each) for each in there])


async def _begin(connection: AbstractConnection, queue: str) -> None:
    """The birth of an archive that has no event yet: who asks for what was before it is told so.

    Somebody may have read the archive while nothing filled it, whose marks are in front. RabbitMQ's count is seconds
    late, so there may be several births.
    """
    channel = await open_channel(connection, confirms=True)
    ready = (await depth(channel, queue)).ready
    if ready == 0 or (ready <= FEW and await _is_unborn(connection, queue)):
        await publish_mark(channel, queue, Mark(BIRTH, int(time.time() * 1000)))
    await channel.close()


async def _is_unborn(connection: AbstractConnection, queue: str) -> bool:
    head = await Archive(connection, queue).look("first", LOOK_SECONDS)
    return all(seen.mark is not None and seen.mark.name != BIRTH for seen in head)


async def bind(connection: AbstractConnection, queue: str, exchange: str, *, binds: bool = True) -> bool:
    """False: the exchange is not there yet, and is bound later. `binds=False` only looks for it.

    Each on a channel that a refusal closes.
    """
    channel = await open_channel(connection)
    try:
        await declare_exchange(channel, exchange, passive=True)
        if binds:
            await bind_queue(channel, queue, exchange)
        await channel.close()
    except aiormq.exceptions.ChannelNotFoundEntity:
        log.debug("the exchange %r is not there yet", exchange)
        return False
    return True


def refusal(error: BaseException) -> str:
    """Why the broker has no archive, with the remedy."""
    text = in_words(error)
    if isinstance(error, aiormq.exceptions.ChannelAccessRefused):
        return f"{text}; grant the rights (README of deploy/), or ARCHIVE=false"
    if "stream" in text or isinstance(error, aiormq.exceptions.ConnectionNotImplemented):
        return (
            f"this RabbitMQ has no streams (they need 3.9 and the feature flag stream_queue), or ARCHIVE=false: {text}"
        )
    return text

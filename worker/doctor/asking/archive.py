"""Looks at the archive of events: its arguments, and how far back it reaches. Changes nothing."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused

from worker.broker.archive.declared import STREAM, TYPE, stream_arguments
from worker.broker.archive.reading import Archive, Seen, birth_in
from worker.broker.connection import BROKER_ERRORS, in_words
from worker.broker.declare import open_channel, queue_exists
from worker.broker.frames import depth
from worker.replay.archive import ArchiveStalled

WAIT_SECONDS = 3.0
"""For a message that is there: it comes at once."""

ROUNDS = 10
"""Of halving the time in which the oldest event came: a day to within two minutes."""


@dataclass(frozen=True, slots=True)
class ArchiveSeen:
    """`arguments` None: this user may not see them. `trouble`: why it could not be read, in RabbitMQ's words.

    `born` (Unix seconds): it was made then and has everything since; None: its first events are gone, and what is left
    begins at `begins`, give or take minutes; None: before all that was asked for, or it is empty.
    `messages` it has, of `average` bytes at its beginning; None: none was read.
    """

    exists: bool
    arguments: Mapping[str, Any] | None = None
    messages: int = 0
    born: float | None = None
    begins: float | None = None
    average: float | None = None
    trouble: str | None = None

    @property
    def is_stream(self) -> bool:
        """Also where its type could not be seen."""
        return self.arguments is None or self.arguments.get(TYPE) == STREAM


async def archive_seen(
    connection: AbstractConnection, name: str, since: float, known: Mapping[str, Any] | None = None
) -> ArchiveSeen:
    """`since`: the earliest moment that matters, Unix seconds. `known`: its arguments, if somebody else has told them.

    Raises what a broken connection raises.
    """
    if not await queue_exists(connection, name):
        return ArchiveSeen(exists=False)
    arguments = known
    if not known:
        with suppress(ChannelAccessRefused):
            arguments = await stream_arguments(connection, name)
    seen = ArchiveSeen(exists=True, arguments=arguments)
    if arguments is None or not seen.is_stream:
        return seen  # reading what is no stream would take messages out of it
    try:
        return await _read(connection, name, since, arguments)
    except (ArchiveStalled, *BROKER_ERRORS) as error:
        return ArchiveSeen(exists=True, arguments=arguments, trouble=in_words(error))


async def _read(connection: AbstractConnection, name: str, since: float, arguments: Mapping[str, Any]) -> ArchiveSeen:
    channel = await open_channel(connection)
    messages = (await depth(channel, name)).ready
    await channel.close()
    archive = Archive(connection, name)
    first = await archive.look("first", WAIT_SECONDS) if messages else []
    if not first:
        return ArchiveSeen(exists=True, arguments=arguments)
    sizes = [len(seen.event.body) for seen in first if seen.mark is None]
    average = sum(sizes) / len(sizes) if sizes else None
    birth = birth_in(first)
    born = None if birth is None else birth.at / 1000

    async def older(moment: float) -> bool:
        """Whether nothing that is left came before this moment."""
        found: list[Seen] = await archive.look(datetime.fromtimestamp(moment, UTC), WAIT_SECONDS)
        return bool(found) and found[0].offset == first[0].offset

    begins = None if born is not None else await last_moment(older, since, time.time())
    return ArchiveSeen(exists=True, arguments=arguments, messages=messages, born=born, begins=begins, average=average)


async def last_moment(holds: Callable[[float], Awaitable[bool]], since: float, until: float) -> float | None:
    """The last moment in the range for which it holds, to within a thousandth of it; None: not even at its beginning.

    What holds at one moment holds at all earlier ones.
    """
    if not await holds(since):
        return None
    for _ in range(ROUNDS):
        middle = (since + until) / 2
        if await holds(middle):
            since = middle
        else:
            until = middle
    return since

"""One archived event, for whoever wants to see or send it."""

import asyncio
from contextlib import aclosing

from worker.domain.event import identity
from worker.replay.archive import Archive, Archived

EARLIER_SECONDS = 120.0
"""Before the first row of its history, as a clock differs and a backlog takes time; beyond, all of it is looked at."""

TURN = 50
"""Events between two turns of others on the event loop."""


async def find(archive: Archive, event_id: str, first_row: int, rest: float = 0.0) -> Archived | None:
    """The event of this id, whose history begins at `first_row` (Unix ms); None: the archive has it not any more.

    `rest` seconds after each TURN, beside deliveries. Raises what the archive raises.
    """
    end = await archive.mark()
    near = await archive.offset_at(first_row / 1000 - EARLIER_SECONDS, end)
    first = await archive.first()
    if near is not None:
        found = await _within(archive, event_id, near, end, None, rest)
        if found is not None:
            return found
    return await _within(archive, event_id, first, end, near, rest)


async def _within(
    archive: Archive, event_id: str, offset: int, end: str, before: int | None, rest: float
) -> Archived | None:
    looked = 0
    async with aclosing(archive.events(offset, end)) as events:
        async for archived in events:
            if before is not None and archived.offset >= before:
                return None
            if identity(archived.body, archived.message_id) == event_id:
                return archived
            looked += 1
            if looked % TURN == 0:
                await asyncio.sleep(rest)
    return None

"""The newest events of one instance, by a short look into the archive: for whoever tries a filter on them."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from worker.basics.clock import Clock
from worker.broker.archive.reading import Archive
from worker.broker.connection import BROKER_ERRORS, connected, in_words
from worker.broker.declare import queue_exists
from worker.broker.topology import archive_name
from worker.console.ports import NoEvents
from worker.domain.event import InvalidEvent, parse
from worker.replay.archive import ArchiveStalled
from worker.settings.settings import Settings

MOST = 20
SPANS = (3.0, 60.0, 900.0, 10_800.0)
"""Seconds back from now: a stream is read forwards, so the shortest look that finds enough is the cheapest."""

LOOKED = 4000
"""Events of all instances that are looked at, whatever is found: 0.07 s of a processor."""

TURN, REST_SECONDS = 50, 0.01
"""After so many, the deliveries of this process have their turn."""

LONGEST_SECONDS = 8.0


class LastEvents:
    """See console.ports.LastEvents. One look at a time."""

    def __init__(self, settings: Settings, now: Clock = time.time) -> None:
        self._settings = settings
        self._now = now
        self._one_at_a_time = asyncio.Lock()

    async def ask(self, instance: str) -> Sequence[bytes]:
        """Raises NoEvents."""
        settings, name = self._settings, archive_name(self._settings.worker_queue_prefix)
        address = settings.rabbitmq_uri
        try:
            async with (
                self._one_at_a_time,
                asyncio.timeout(LONGEST_SECONDS),
                connected(address, "evolution-webhook-worker console") as connection,
            ):
                if not settings.archive or not await queue_exists(connection, name):
                    raise NoEvents("no events are archived (ARCHIVE)")
                return await self._look(Archive(connection, name), instance)
        except (ArchiveStalled, *BROKER_ERRORS) as error:
            raise NoEvents(f"RabbitMQ at {address}: {address.clean(in_words(error))}") from None

    async def _look(self, archive: Archive, instance: str) -> Sequence[bytes]:
        """A longer span is tried while there is room for all of its events."""
        end, found = await archive.mark(), deque[bytes](maxlen=MOST)
        for span in SPANS:
            offset = await archive.offset_at(self._now() - span, end)
            if offset is None:
                continue
            longer, whole = await self._within(archive, instance, offset, end)
            if whole or not found:
                found = longer
            if not whole or len(found) == MOST:
                break
        return tuple(reversed(found))

    async def _within(self, archive: Archive, instance: str, offset: int, end: str) -> tuple[deque[bytes], bool]:
        """And whether all events up to the end were looked at."""
        found, looked = deque[bytes](maxlen=MOST), 0
        events = archive.events(offset, end)
        try:
            async for archived in events:
                looked += 1
                if _is_of(archived.body, instance):
                    found.append(archived.body)
                if looked == LOOKED:
                    return found, False
                if looked % TURN == 0:
                    await asyncio.sleep(REST_SECONDS)
        finally:
            await events.aclose()
        return found, True


def _is_of(body: bytes, instance: str) -> bool:
    try:
        return parse(body).instance == instance
    except InvalidEvent:
        return False

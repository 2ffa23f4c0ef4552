"""What AMQP alone tells of a broker: its version, and queues whose names are known. Changes nothing."""

import asyncio
from collections.abc import Iterable

import aiormq
from aio_pika.abc import AbstractConnection

from worker.broker.aiormq_internals import server_properties
from worker.broker.declare import open_channel
from worker.broker.frames import Depth, depth

AT_ONCE = 10
"""Questions under way: each that finds nothing costs a channel."""


def server_version(connection: AbstractConnection) -> str:
    """As the broker introduced itself; "" if it did not say."""
    found = server_properties(connection).get("version", "")
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found)


async def depths(connection: AbstractConnection, names: Iterable[str]) -> dict[str, Depth]:
    """Those of the queues that exist and that this user may see. Raises what a broken connection raises."""
    waiting = iter(dict.fromkeys(names))
    found: dict[str, Depth] = {}

    async def work() -> None:
        for name in waiting:
            answer = await _depth(connection, name)
            if answer is not None:
                found[name] = answer

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return found


async def _depth(connection: AbstractConnection, name: str) -> Depth | None:
    channel = await open_channel(connection)
    try:
        answer = await depth(channel, name)
    except (aiormq.exceptions.ChannelNotFoundEntity, aiormq.exceptions.ChannelLockedResource):
        return None  # a locked one is another connection's alone: none of those that are asked for
    except aiormq.exceptions.ChannelAccessRefused:
        return None  # RabbitMQ 4.3 lets only those look at a queue, there or not, who may configure it
    await channel.close()
    return answer

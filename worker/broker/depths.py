"""What the broker says of our queues: how much waits in each, and how many replicas consume."""

from collections.abc import Mapping
from dataclasses import dataclass

from aio_pika.abc import AbstractConnection

from worker.broker.declare import open_channel
from worker.broker.topology import Topology


@dataclass(frozen=True, slots=True)
class Depths:
    """`messages` by queue name: ready ones, without those that some replica has in hand.

    `replicas` counts the consumers of `retries`: each worker has exactly one there, whatever its source.
    """

    messages: Mapping[str, int]
    replicas: int


async def look(connection: AbstractConnection, topology: Topology) -> Depths:
    """Ask for all of our queues. Raises what a broken connection, or a missing queue, raises."""
    channel = await open_channel(connection)
    found = {
        queue.name: await channel.queue_declare(queue.name, passive=True, durable=True) for queue in topology.queues
    }
    await channel.close()
    messages = {name: answer.message_count or 0 for name, answer in found.items()}
    return Depths(messages, found[topology.retries].consumer_count or 0)

"""What the broker says of our queues: how much waits in each, and how many replicas consume."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aio_pika.abc import AbstractConnection

from worker.broker.declare import open_channel
from worker.broker.frames import depth
from worker.broker.topology import Topology


@dataclass(frozen=True, slots=True)
class Depths:
    """`messages` by queue name: ready ones, without those that some replica has in hand.

    `events` are those of all queues of first attempts together, Evolution's own among them. `replicas` counts the
    consumers of `retries`: each worker has exactly one there, whatever its source.
    """

    messages: Mapping[str, int]
    events: int
    replicas: int


async def look(connection: AbstractConnection, topology: Topology, first: Iterable[str]) -> Depths:
    """Ask for all of our queues and for those of `first` attempts. Raises what a broken connection, or a missing
    queue, raises."""
    channel = await open_channel(connection)
    ours = [queue.name for queue in topology.queues]
    found = {name: await depth(channel, name) for name in dict.fromkeys([*ours, *first])}
    await channel.close()
    return Depths(
        messages={name: found[name].ready for name in ours},
        events=sum(found[name].ready for name in {topology.events, *first}),
        replicas=found[topology.retries].consumers,
    )

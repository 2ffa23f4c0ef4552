"""Make the topology exist, or check that it does."""

from collections.abc import Collection

import aiormq
from aio_pika.abc import AbstractConnection
from aiormq.channel import Channel

from worker.broker.aiormq_internals import channel_on, connection_beneath
from worker.broker.connection import TopologyMismatch
from worker.broker.frames import bind_queue, declare_exchange, declare_queue, unbind_queue
from worker.broker.limits import limit_reached
from worker.broker.topology import Queue, Topology


async def declare(connection: AbstractConnection, topology: Topology, *, bind: bool) -> None:
    """Exchange, queues, binding: everything before the first event. Raises TopologyMismatch.

    `bind=False`: events come by Evolution's own queues, and not by its exchange too (RABBITMQ_SOURCE=queues).
    """
    channel = await open_channel(connection)
    try:
        for queue in topology.queues:
            await declare_queue(channel, queue.name, queue.arguments)
        await declare_exchange(channel, topology.config_exchange, "fanout")
        if bind:
            # As Evolution declares it, so that whoever comes first is right.
            await declare_exchange(channel, topology.exchange)
            await bind_queue(channel, topology.events, topology.exchange)
        else:
            # Bound by an earlier run, it would bring every event a second time.
            await unbind_queue(channel, topology.events, topology.exchange)
        await channel.close()
    except aiormq.exceptions.ChannelPreconditionFailed as error:
        if limit_reached(str(error)):
            raise TopologyMismatch(f"RabbitMQ has no room for our queues: {no_room(str(error), topology)}") from None
        raise TopologyMismatch(
            f"RabbitMQ has one of our queues or exchanges with other arguments: {error}. Delete it when it is "
            "empty, choose another WORKER_QUEUE_PREFIX, or keep yours with RABBITMQ_DECLARE=false"
        ) from None
    except aiormq.exceptions.ChannelAccessRefused as error:
        raise TopologyMismatch(
            f"RabbitMQ refuses to declare our queues: {error}. Grant the user configure rights on "
            f"`{topology.dead.removesuffix('.dead')}.*`, or create them and set RABBITMQ_DECLARE=false"
        ) from None


async def declare_ordered(connection: AbstractConnection, topology: Topology, *, declares: bool) -> None:
    """The queue of ordered webhooks, bound as that of first attempts is. Raises TopologyMismatch."""
    queue = topology.ordered
    assert queue is not None
    await declare_one(connection, queue, declares=declares)
    if declares:
        channel = await open_channel(connection)
        await declare_exchange(channel, topology.config_exchange, "fanout")
        await declare_exchange(channel, topology.exchange)
        await bind_queue(channel, queue.name, topology.exchange)
        await channel.close()


async def note_bound(connection: AbstractConnection, topology: Topology) -> None:
    """From now on whatever is taken from the queue of first attempts is, or was, in the ordered queue as well."""
    channel = await open_channel(connection)
    await declare_exchange(channel, topology.bound_exchange, "fanout")
    await channel.close()


async def is_bound(connection: AbstractConnection, topology: Topology) -> bool:
    """Whether that was noted."""
    return await _exists(connection, exchange=topology.bound_exchange)


async def forget_bound(connection: AbstractConnection, topology: Topology) -> None:
    """The ordered queue will be unbound: until then both sides send."""
    channel = await open_channel(connection)
    await channel.exchange_delete(topology.bound_exchange)
    await channel.close()


async def unbind_ordered(connection: AbstractConnection, topology: Topology, queue: str) -> None:
    """It gets nothing new from now on."""
    channel = await open_channel(connection)
    await unbind_queue(channel, queue, topology.exchange)
    await channel.close()


async def declare_one(connection: AbstractConnection, queue: Queue, *, declares: bool) -> None:
    """A queue beside those of deliveries. Without `declares` only checked. Raises TopologyMismatch."""
    channel = await open_channel(connection)
    try:
        await declare_queue(channel, queue.name, queue.arguments, passive=not declares)
        await channel.close()
    except aiormq.exceptions.ChannelNotFoundEntity:
        raise TopologyMismatch(f"RABBITMQ_DECLARE=false and {queue.name} does not exist: create it") from None
    except aiormq.exceptions.ChannelPreconditionFailed as error:
        fix = "raise the limit" if limit_reached(str(error)) else "delete it when it is empty"
        raise TopologyMismatch(f"RabbitMQ refuses the queue {queue.name}: {error}; {fix}") from None
    except aiormq.exceptions.ChannelAccessRefused as error:
        raise TopologyMismatch(f"RabbitMQ refuses the queue {queue.name}: {error}; grant the rights") from None


def no_room(refusal: str, topology: Topology) -> str:
    """What RabbitMQ says of a limit, how much the worker needs, and what can be done."""
    needed = len(topology.whole.queues)
    return (
        f"{refusal}. This is a limit of RabbitMQ or of its hosted plan; the worker needs {needed} queues "
        f"({len(topology.delays)} of them for delays between attempts), one more for each replica and one for the "
        "archive (ARCHIVE), and 2 exchanges: "
        "raise it (rabbitmqctl set_vhost_limits), delete queues nobody needs, or have fewer delays (WEBHOOK_RETRY_*)"
    )


async def lacks_room(connection: AbstractConnection, topology: Topology, absent: Collection[str]) -> str | None:
    """RabbitMQ's refusal of as many more queues as are `absent`, in its words; None: there is room for them.

    It tells no limit, so that many exclusive queues are declared on a channel and deleted with it.
    """
    names = [f"{queue.name}.check" for queue in topology.queues if queue.name in absent]
    channel, made = await open_channel(connection), list[str]()
    try:
        for name in names:
            await channel.queue_declare(name, exclusive=True, auto_delete=True)
            made.append(name)
    except aiormq.exceptions.ChannelPreconditionFailed as error:
        channel = await open_channel(connection)
        refusal = str(error)
        if not limit_reached(refusal):
            raise
        return refusal
    finally:
        for name in made:
            await channel.queue_delete(name)
        await channel.close()
    return None


async def missing(connection: AbstractConnection, topology: Topology, *, bind: bool) -> list[str]:
    """The names that do not exist; declares nothing (RABBITMQ_DECLARE=false, `check`).

    A passive declare of a missing name closes its channel, so each has a channel of its own.
    """
    absent = [queue.name for queue in topology.queues if not await queue_exists(connection, queue.name)]
    exchanges = [topology.config_exchange, topology.exchange] if bind else [topology.config_exchange]
    return absent + [name for name in exchanges if not await _exists(connection, exchange=name)]


async def mismatch(connection: AbstractConnection, topology: Topology, absent: Collection[str]) -> str | None:
    """The first of our queues and exchanges that exists otherwise than `declare` would make it, in RabbitMQ's words.

    Declaring what exists changes nothing: the broker only compares. What is `absent` is left alone.
    """
    for queue in (queue for queue in topology.queues if queue.name not in absent):
        channel = await open_channel(connection)
        try:
            await declare_queue(channel, queue.name, queue.arguments)
        except aiormq.exceptions.ChannelPreconditionFailed as error:
            return str(error)
        await channel.close()
    if topology.exchange in absent:
        return None
    channel = await open_channel(connection)
    try:
        await declare_exchange(channel, topology.exchange)
    except aiormq.exceptions.ChannelPreconditionFailed as error:
        return str(error)
    await channel.close()
    return None


async def verify(connection: AbstractConnection, topology: Topology, *, bind: bool) -> None:
    """Raises TopologyMismatch when something that the worker needs does not exist."""
    absent = await missing(connection, topology, bind=bind)
    if absent:
        raise TopologyMismatch(
            "RABBITMQ_DECLARE=false and these do not exist: " + ", ".join(absent) + ". Create them, or let the "
            "worker do it with RABBITMQ_DECLARE=true"
        )


async def queue_exists(connection: AbstractConnection, name: str) -> bool:
    """Whether a queue of this name exists, whatever its arguments."""
    return await _exists(connection, queue=name)


async def _exists(connection: AbstractConnection, *, queue: str = "", exchange: str = "") -> bool:
    channel = await open_channel(connection)
    try:
        if queue:
            await declare_queue(channel, queue, passive=True)
        else:
            await declare_exchange(channel, exchange, passive=True)
    except aiormq.exceptions.ChannelNotFoundEntity:
        return False
    await channel.close()
    return True


async def open_channel(connection: AbstractConnection, *, confirms: bool = False) -> Channel:
    """A channel beneath aio-pika: consuming and acking on it costs half the CPU of aio-pika's own."""
    beneath = connection_beneath(connection)
    if beneath is None:
        raise ConnectionError("the connection to RabbitMQ is closed")
    return await channel_on(beneath, confirms=confirms)

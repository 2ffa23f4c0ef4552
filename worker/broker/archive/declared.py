"""With which arguments a queue was declared, as AMQP alone can tell: RabbitMQ names the first that differs.

Declaring what exists changes nothing; it needs the right to configure the queue.
"""

import re

import aiormq
from aio_pika.abc import AbstractConnection

from worker.broker.declare import open_channel
from worker.broker.frames import declare_queue
from worker.broker.topology import Arguments

TYPE = "x-queue-type"
AGE = "x-max-age"
STREAM = "stream"
CLASSIC = "classic"
"""What a queue without a type is."""

MOST = 12
"""Arguments that are found out, each by a refusal."""

_DIFFERS = re.compile(
    r"inequivalent arg '(?P<key>[^']+)' for queue .*received .* but current is "
    r"(?:none|(?:the value )?'(?P<value>[^']*)'(?: of type '(?P<type>\w+)')?)",
    re.DOTALL,
)
_NUMBERS = re.compile(r"-?\d+")


async def stream_arguments(connection: AbstractConnection, name: str) -> Arguments:
    """Of the queue `name`, which must exist. Of one that is no stream TYPE alone is right.

    Raises ChannelAccessRefused without the right, ChannelPreconditionFailed for what is no queue as ours are.
    """
    found: Arguments = {TYPE: STREAM}
    for _ in range(MOST):
        channel = await open_channel(connection)
        try:
            await declare_queue(channel, name, found)
        except aiormq.exceptions.ChannelPreconditionFailed as error:
            differs = difference(str(error))
            if differs is None:
                raise
            key, value = differs
            if key == TYPE:
                return {TYPE: value if value is not None else CLASSIC}
            found = {one: given for one, given in found.items() if one != key}
            found |= {} if value is None else {key: value}
            continue
        await channel.close()
        break
    return found


def difference(refusal: str) -> tuple[str, str | int | None] | None:
    """The argument that RabbitMQ's words name and the value that the queue has, None: without. None: another refusal.

    Whole numbers are numbers: of our arguments none is a text of digits. Of an age RabbitMQ 4.3 tells the milliseconds,
    and takes none that is a number.
    """
    match = _DIFFERS.search(refusal)
    if match is None:
        return None
    key, value = match["key"], match["value"]
    if value is None or not _NUMBERS.fullmatch(value):
        return key, value
    return key, f"{int(value) // 1000}s" if key == AGE and int(value) >= 0 else int(value)

"""Messages of ours in the archive, which are no events: its birth, and where a reader is to stop.

No message carries its time over AMQP 0-9-1, and a stream cannot be asked for its last offset.
"""

from collections.abc import Mapping
from typing import NamedTuple

from aiormq.channel import Channel

from worker.broker.properties import MARK, MARKED_AT
from worker.broker.publishing.outbox import Outbox

BIRTH = "birth"
"""Among the first messages of a new archive; MARKED_AT says since when it has everything."""


class Mark(NamedTuple):
    """`name` is BIRTH or what a reader made up for its end; `at` is Unix time in milliseconds."""

    name: str
    at: int


def headers_of(mark: Mark) -> dict[str, str | int | list[str]]:
    return {MARK: mark.name, MARKED_AT: mark.at}


def mark_in(headers: Mapping[str, object]) -> Mark | None:
    """None: the message is an event."""
    name, at = headers.get(MARK), headers.get(MARKED_AT)
    return Mark(name, at) if isinstance(name, str) and isinstance(at, int) else None


async def publish_mark(channel: Channel, queue: str, mark: Mark) -> None:
    """On a channel with confirms that nothing else publishes on. Raises PublishFailed."""
    await Outbox(channel).publish(queue, b"", headers_of(mark), f"{mark.name}.{mark.at}")

"""Which sizes the broker takes: RabbitMQ closes the channel of a publish above its max_message_size (406).

AMQP does not tell the limit beforehand. RabbitMQ 4 has 16 MiB by default, 3.x 128 MiB; a lower one after an upgrade
meets larger messages that lie in queues already and are still delivered.
"""

import logging
import re

from aiormq.exceptions import ChannelPreconditionFailed

log = logging.getLogger(__name__)

FIRST_PROVEN_BYTES = 1024
"""Taken for granted on a new connection. A limit below it costs the shared channel once."""

_REFUSED = re.compile(r"message size (\d+)\D+(\d+)")


class MessageSizes:
    """What one connection has learned. Bytes of a body; the broker counts no headers."""

    def __init__(self) -> None:
        self.proven = FIRST_PROVEN_BYTES
        """The largest that the broker has taken."""
        self.limit: int | None = None
        """The broker's max_message_size, once a 406 has named it."""

    def learn(self, limit: int) -> None:
        if limit != self.limit:
            log.warning(
                "RabbitMQ refuses messages above %d bytes (max_message_size): larger ones are not stored", limit
            )
        self.limit = limit
        self.proven = min(self.proven, limit)

    def excess(self, size: int) -> str | None:
        """Why the broker would refuse a body of this size, in words; None: it may take it."""
        if self.limit is None or size <= self.limit:
            return None
        return f"{size} bytes are more than RabbitMQ's max_message_size of {self.limit}"


def refused_size(error: BaseException | None) -> tuple[int, int] | None:
    """The size of the message that was too large, and the limit, when that is what closed a channel."""
    found = _REFUSED.search(str(error)) if isinstance(error, ChannelPreconditionFailed) else None
    return (int(found[1]), int(found[2])) if found else None

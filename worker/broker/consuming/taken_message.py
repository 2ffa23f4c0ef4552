"""One message of the broker on its way through this process."""

from collections.abc import Mapping
from typing import Protocol

from worker.broker.past_headers import past_in, trace_in
from worker.domain.past import Past


class Channel(Protocol):
    """Where a message came from, and where it is settled."""

    closed: bool

    def ack(self, message: "TakenMessage") -> None: ...
    def hand_back(self, message: "TakenMessage") -> None: ...
    def reject(self, message: "TakenMessage") -> None: ...
    def dead_letters(self, queue: str) -> bool: ...


class TakenMessage:
    """A RabbitMQ message from its delivery to its ack or nack (ports.Message).

    When its channel closes while it is handled, it is settled on the channel that delivers it again.
    """

    __slots__ = (
        "_channel",
        "_open",
        "begun",
        "body",
        "exchange",
        "headers",
        "message_id",
        "queue",
        "redelivered",
        "routing_key",
        "tag",
    )

    def __init__(
        self,
        channel: Channel,
        queue: str,
        body: bytes,
        headers: Mapping[str, object],
        message_id: str | None,
        exchange: str,
        routing_key: str,
        tag: int,
        redelivered: bool,
    ) -> None:
        self.body = body
        self.headers = headers
        self.message_id = message_id
        self.exchange = exchange
        self.routing_key = routing_key
        self.queue = queue
        self.tag = tag
        self.redelivered = redelivered
        self.begun = False
        """Somebody handles it, and will settle it."""
        self._channel = channel
        # Settled once: a second ack of a tag is an error that would close the channel for all.
        self._open = True

    @property
    def past(self) -> Past | None:
        return past_in(self.headers) if self.headers else None

    @property
    def trace(self) -> Mapping[str, str]:
        return trace_in(self.headers)

    @property
    def lost(self) -> bool:
        return self._channel.closed

    def ack(self) -> None:
        if self._open:
            self._open = False
            self._channel.ack(self)

    def hand_back(self) -> None:
        if self._open:
            self._open = False
            self._channel.hand_back(self)

    @property
    def dead_letters(self) -> bool:
        return self._channel.dead_letters(self.queue)

    def reject(self) -> None:
        if self._open:
            self._open = False
            self._channel.reject(self)

    def goes_on_as(self, again: "TakenMessage") -> None:
        """On another channel, which has delivered it again."""
        self._channel, self.tag = again._channel, again.tag
